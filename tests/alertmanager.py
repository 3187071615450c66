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
from pathlib import Path
from typing import Any, Self
from urllib.request import urlopen

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
    """An Alertmanager that forwards alerts to a webhook; it runs within its `with` block."""

    def __init__(
        self, webhook: str, *, configuration: str = CONFIGURATION, program: Path | None = None
    ) -> None:
        """Prepare it.

        Args:
            webhook: the address of the webhook.
            configuration: YAML with the place `{webhook}`.
            program: default: that of the system, or Debian's.
        """
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        self._directory = Path(tempfile.mkdtemp(prefix="alertmanager-"))
        self._webhook = webhook
        self._log = self._directory / "alertmanager.log"
        self.configure(configuration)
        self._program = program or _program()
        self._command = [
            str(self._program),
            f"--config.file={self.file}",
            f"--storage.path={self._directory}",
            f"--web.listen-address=127.0.0.1:{port}",
            "--cluster.listen-address=",
            "--log.level=error",
        ]

    def __enter__(self) -> Self:
        with self._log.open("a") as log:
            self._process = subprocess.Popen(self._command, cwd=self._program.parent, stdout=log, stderr=log)
        self._wait()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def file(self) -> Path:
        """Its configuration."""
        return self._directory / "alertmanager.yml"

    def configure(self, text: str) -> None:
        """Write its configuration, which it reads at its start and at each `reload`."""
        self.file.write_text(text.replace("{webhook}", self._webhook))

    def reload(self) -> None:
        """Have it read its configuration again."""
        self._process.send_signal(signal.SIGHUP)

    def kill(self) -> None:
        """End it by SIGKILL; `__enter__` starts it again."""
        self._process.kill()
        self._process.wait()

    def alerts(self) -> list[dict[str, Any]]:
        """Return the active alerts."""
        with urlopen(f"{self.url}/api/v2/alerts", timeout=5) as answer:
            alerts: list[dict[str, Any]] = json.load(answer)
        return alerts

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
