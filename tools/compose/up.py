"""Bring everything up, wait until it is healthy, and print the addresses: `make up`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from urllib.error import URLError
from urllib.request import urlopen

from . import environment

PATIENCE: Final = 300
"""Seconds after which something is taken not to become healthy."""
NO_DOCKER: Final = (
    "make up needs Docker with its plugin Compose, 2.20 or newer: install it,"
    " or run the same programs without it by `make stack`"
)

PROTECTED: Final = {
    "POSTGRES_PASSWORD": "database",
    "SCREENER_PASSWORD": "database",
    "GRAFANA_ADMIN_PASSWORD": "grafana",
}
"""Passwords that are taken only when a volume is new, and the volume."""
OTHERS_DATA: Final = (
    "make up: the passwords of volumes that exist are not in .env: copy .env from the folder that made them;"
    " or copy .env.example to .env, and set another COMPOSE_PROJECT_NAME there, for new volumes;"
    " or delete them with their data: `docker volume rm {volumes}`"
)


@dataclass(frozen=True)
class Address:
    """Where one of the services is to be found."""

    service: str
    port: int
    what: str
    path: str = ""
    remark: str = ""


ADDRESSES: Final = (
    Address("grafana", 3000, "Dashboards", remark="admin, GRAFANA_ADMIN_PASSWORD of .env"),
    Address("app", 8000, "Application", remark="user@example.com or admin@…, SCREENER_PASSWORD of .env"),
    Address("jaeger", 16686, "Traces"),
    Address("prometheus", 9090, "Metrics and alerts"),
    Address("alertmanager", 9093, "Notifications"),
    Address("collector", 4318, "OTLP over HTTP"),
)
COLLECTOR_HEALTH: Final = Address("collector", 13133, "")


class Compose:
    """docker-compose.yml in a folder."""

    def __init__(self, root: Path = environment.ROOT) -> None:
        self.root = root

    def run(self, *arguments: str) -> None:
        """Run a command of Compose, whose output is shown.

        Raises:
            subprocess.CalledProcessError: it failed.
        """
        subprocess.run(["docker", "compose", *arguments], cwd=self.root, check=True)

    def ask(self, *arguments: str, **settings: str) -> str:
        """Return what a command of Compose prints with more settings, or "" if it fails."""
        return self._ask("compose", *arguments, **settings)

    def _ask(self, *arguments: str, **settings: str) -> str:
        return subprocess.run(
            ["docker", *arguments],
            cwd=self.root,
            env=os.environ | settings,
            check=False,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        ).stdout.strip()

    def services(self, without: Sequence[str] = ()) -> list[str]:
        """Return the services of the profiles that `.env` names."""
        return [name for name in sorted(self.ask("config", "--services").split()) if name not in without]

    def volumes_of_others(self) -> list[str]:
        """Return the volumes that exist although `.env` does not have their passwords."""
        missing = environment.missing(self.root)
        names = {PROTECTED[name] for name in missing & PROTECTED.keys()}
        if not names:
            return []
        example = environment.read(self.root, ".env.example")
        settings = {**example, **environment.read(self.root), **dict.fromkeys(missing, "unknown")}
        known = json.loads(self.ask("config", "--format", "json", **settings) or "{}").get("volumes", {})
        volumes = sorted(known[name]["name"] for name in names & known.keys())
        return [
            volume for volume in volumes if self._ask("volume", "ls", "--quiet", f"--filter=name=^{volume}$")
        ]

    def url(self, address: Address) -> str:
        """Return the URL of a service on this machine, or "" if it does not run."""
        place = self.ask("port", address.service, str(address.port))
        return f"http://{place}{address.path}" if place else ""

    def up(self, without: Sequence[str] = ()) -> None:
        """Start everything, and wait until it is healthy.

        Raises:
            subprocess.CalledProcessError: something did not start.
            TimeoutError: the Collector did not become healthy.
        """
        services = self.services(without) if without else []
        self.run("up", "--detach", "--wait", "--wait-timeout", str(PATIENCE), *services)
        # Nothing in its container can ask the Collector.
        self._await(self.url(COLLECTOR_HEALTH))

    def _await(self, url: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                urlopen(url, timeout=5).close()
                return
            except (URLError, OSError):
                if time.monotonic() > deadline:
                    raise TimeoutError(f"the Collector does not answer at {url}") from None
                time.sleep(0.5)


def main(arguments: Sequence[str] | None = None) -> int:
    """Build and start everything, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tools.compose.up", description=__doc__)
    parser.add_argument("--without", action="append", default=[], metavar="SERVICE", help="leave one out")
    options = parser.parse_args(arguments)
    compose = Compose()
    if not shutil.which("docker") or not compose.ask("version", "--short"):
        print(NO_DOCKER, file=sys.stderr)
        return 1
    if volumes := compose.volumes_of_others():
        print(OTHERS_DATA.format(volumes=" ".join(volumes)), file=sys.stderr)
        return 1
    if environment.write():
        print("Written: .env, with new secrets.")
    try:
        compose.run("build", "migrate")
        compose.up(options.without)
    except (subprocess.CalledProcessError, TimeoutError) as error:
        print(
            f"make up: {error}; `docker compose ps --all` and `docker compose logs` say more", file=sys.stderr
        )
        return 1
    print(summary(compose))
    return 0


def summary(compose: Compose) -> str:
    """Return the addresses of what runs, a line each."""
    lines = [
        f"  {address.what:20} {url:26} {address.remark}".rstrip()
        for address in ADDRESSES
        if (url := compose.url(address))
    ]
    return "\n".join(["Everything is healthy:", *lines, "`make down` ends it and keeps the data."])


if __name__ == "__main__":
    sys.exit(main())
