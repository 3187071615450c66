"""A clone of this repository on a Docker engine, beside whatever else runs there."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from tests.postgres import free_port
from tests.stack import files
from tools.compose import environment
from tools.compose.up import Compose

PROJECT: Final = "analysis-telemetry-proof"
OVERRIDE: Final = "tests/stack/proof/images/compose.yml"


class Clone:
    """A clone of what is committed, with ports and volumes of its own; it exists within its `with` block.

    Args:
        local_images: whether images are built here rather than pulled; then Grafana is left out.
    """

    def __init__(self, local_images: bool) -> None:
        self.without = ["grafana"] if local_images else []
        self.root = Path(tempfile.mkdtemp(prefix="proof-"))
        self.compose = Compose(self.root)
        settings = {"COMPOSE_PROJECT_NAME": PROJECT}
        if local_images:
            settings |= {"COMPOSE_FILE": f"docker-compose.yml:{OVERRIDE}", "DOCKER_BUILDKIT": "0"}
        ports = {name: str(free_port()) for name in files.documented() if name.endswith("_PORT")}
        os.environ.update(settings | ports)

    def __enter__(self) -> Self:
        archive = subprocess.run(["git", "archive", "HEAD"], cwd=files.ROOT, check=True, capture_output=True)
        subprocess.run(["tar", "-x", "-C", self.root], input=archive.stdout, check=True)
        self._events = (self.root / "events").open("wb")
        command = ["docker", "events", "--format", "{{json .}}"]
        self._listening = subprocess.Popen(command, stdout=self._events, stderr=subprocess.DEVNULL)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:
            subprocess.run(["docker", "compose", "ps", "--all"], cwd=self.root, check=False)
            subprocess.run(["docker", "compose", "logs", "--tail=25"], cwd=self.root, check=False)
        self._listening.kill()
        self._listening.wait()
        self._events.close()
        self.compose.ask("--profile", "*", "down", "--volumes", "--timeout", "20")
        shutil.rmtree(self.root)

    def build(self) -> None:
        """Build the image of the application, and write the settings."""
        environment.write(self.root)
        self.compose.run("build", "--quiet", "migrate")

    def up(self) -> None:
        """Do what `make up` does."""
        command = ["python3", "-m", "tools.compose.up", *(f"--without={name}" for name in self.without)]
        subprocess.run(command, cwd=self.root, check=True)

    def secret(self, name: str) -> str:
        """Return a setting of the clone."""
        return environment.read(self.root)[name]

    def set(self, name: str, value: str) -> None:
        """Change a setting of the clone."""
        with (self.root / ".env").open("a") as file:
            file.write(f"{name}={value}\n")

    def url(self, service: str, port: int) -> str:
        """Return the address of a service on this machine."""
        return f"http://{self.compose.ask('port', service, str(port))}"

    def running(self) -> list[str]:
        """Return the services that run now."""
        return sorted(self.compose.ask("ps", "--services", "--status=running").split())

    def events(self) -> list[dict[str, Any]]:
        """Return what happened to containers so far, in order."""
        lines = (self.root / "events").read_text().splitlines()
        return [event for line in lines if (event := json.loads(line)).get("Type") == "container"]

    def inspected(self) -> dict[str, dict[str, Any]]:
        """Return what the engine knows of each container, by service."""
        ids = self.compose.ask("ps", "--all", "--quiet").split()
        done = subprocess.run(["docker", "inspect", *ids], check=True, capture_output=True)
        return {one["Config"]["Labels"]["com.docker.compose.service"]: one for one in json.loads(done.stdout)}

    def memory(self) -> dict[str, float]:
        """Return the memory that each service uses now, in MiB."""
        command = ["docker", "stats", "--no-stream", "--no-trunc", "--format", "{{json .}}"]
        done = subprocess.run(command, check=True, capture_output=True, text=True)
        used = {one["ID"]: one["MemUsage"] for one in map(json.loads, done.stdout.splitlines())}
        return {
            name: _mebibytes(used[one["Id"]]) for name, one in self.inspected().items() if one["Id"] in used
        }


def _mebibytes(usage: str) -> float:
    used = usage.partition("/")[0].strip()
    for unit, factor in (("KiB", 1 / 1024), ("MiB", 1), ("GiB", 1024), ("B", 1 / 1024**2)):
        if used.endswith(unit):
            return float(used.removesuffix(unit)) * factor
    raise ValueError(usage)
