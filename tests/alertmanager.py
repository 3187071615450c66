"""A real Alertmanager for tests, which forwards alerts at once.

The program is that of the system, else that of Debian's package. `TEST_ALERTMANAGER` names a
program to use instead.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self
from urllib.request import Request, urlopen

from tests.debian import PackageUnavailable, unpacked
from tests.postgres import free_port

CONFIGURATION = """\
route:
  receiver: hook
  group_by: [alertname]
  group_wait: 0s
  group_interval: 1s
  repeat_interval: 4h
receivers:
  - name: hook
    webhook_configs:
      - url: {webhook}
"""
INSTALLED = "/usr/share/prometheus/alertmanager"
MOVED = "usr//share/prometheus/alertmanager"


class AlertmanagerUnavailable(RuntimeError):
    """No Alertmanager could be started; the message says why and what to do."""


class RunningAlertmanager:
    """An Alertmanager that forwards alerts to a webhook; it runs within its `with` block.

    There `kill` ends it by SIGKILL, and `start` starts it again with its data.
    """

    def __init__(
        self,
        webhook: str,
        *,
        configuration: str = CONFIGURATION,
        program: Path | None = None,
        arguments: tuple[str, ...] = (),
    ) -> None:
        """Prepare it.

        Args:
            webhook: the address of the webhook.
            configuration: YAML with the place `{webhook}`.
            program: default: that of the system, or Debian's.
            arguments: more arguments of its command line.
        """
        self.place = f"127.0.0.1:{free_port()}"
        self.url = f"http://{self.place}"
        self.directory = Path(tempfile.mkdtemp(prefix="alertmanager-"))
        """Where it keeps silences and what it has sent."""
        self._webhook = webhook
        self._log = self.directory / "alertmanager.log"
        self.configure(configuration)
        self._program = program or _program()
        self._command = [
            str(self._program),
            f"--config.file={self.file}",
            f"--storage.path={self.directory}",
            f"--web.listen-address={self.place}",
            "--cluster.listen-address=",
            "--log.level=error",
            *arguments,
        ]

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
        shutil.rmtree(self.directory, ignore_errors=True)

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        with self._log.open("a") as log:
            self._process = subprocess.Popen(self._command, cwd=self._program.parent, stdout=log, stderr=log)
        self._wait()

    @property
    def file(self) -> Path:
        """Its configuration."""
        return self.directory / "alertmanager.yml"

    def configure(self, text: str) -> None:
        """Write its configuration, which it reads at its start and at each `reload`."""
        self.file.write_text(text.replace("{webhook}", self._webhook))

    def reload(self) -> None:
        """Have it read its configuration again."""
        self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """End it by SIGKILL; `start` starts it again."""
        self._process.kill()
        self._process.wait()

    def alerts(self) -> list[dict[str, Any]]:
        """Return the active alerts."""
        with urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:
            alerts: list[dict[str, Any]] = json.load(answer)
        return alerts

    def silence(self, name: str) -> None:
        """Silence an alert for an hour."""
        now = datetime.now(UTC)
        silence = {
            "matchers": [{"name": "alertname", "value": name, "isRegex": False, "isEqual": True}],
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(hours=1)).isoformat(),
            "createdBy": "tests",
            "comment": "known",
        }
        headers = {"Content-Type": "application/json"}
        body = json.dumps(silence).encode()
        urlopen(Request(f"{self.url}/api/v2/silences", body, headers), timeout=60).close()

    def kept(self, what: str) -> bytes:
        """Return what it has on the disk of its `silences`, or of what it has sent, `nflog`."""
        file = self.directory / what
        return file.read_bytes() if file.exists() else b""

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                urlopen(f"{self.url}/-/ready", timeout=1).close()
                return
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise AlertmanagerUnavailable(
                        f"Alertmanager did not start: {self._log.read_text()}"
                    ) from error
                time.sleep(0.02)


def _program() -> Path:
    names = ("prometheus-alertmanager", "alertmanager")
    installed = [path for name in names if (path := shutil.which(name))]
    if chosen := os.environ.get("TEST_ALERTMANAGER") or next(iter(installed), None):
        return Path(chosen)
    program = "usr/bin/prometheus-alertmanager"
    try:
        return _movable(unpacked("alertmanager", ("prometheus-alertmanager",), program), program)
    except PackageUnavailable as error:
        raise AlertmanagerUnavailable(
            f"no Alertmanager found, nor could Debian's be fetched ({error}):"
            " install it, or name the program in TEST_ALERTMANAGER"
        ) from error


def _movable(folder: Path, program: str) -> Path:
    """Return a copy of the program that finds its templates below the working directory.

    Debian's program contains one absolute path to them, which is replaced by another of the same length.
    """
    movable = folder / "alertmanager"
    if not movable.exists():
        new = folder / f"alertmanager.{os.getpid()}"
        new.write_bytes((folder / program).read_bytes().replace(INSTALLED.encode(), MOVED.encode()))
        new.chmod(0o755)
        new.replace(movable)
    return movable
