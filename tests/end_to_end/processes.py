"""A process of its own, with a log, that can be ended in every way a process ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PATIENCE = 60.0
"""Seconds a process has to end by itself."""
FOREIGN = ("FLASK_", "GUNICORN_", "OPENAI_", "OTEL_", "SCREENER_", "TELEMETRY_")
"""Settings of whoever runs the tests, which would change what they see."""


def environment(**settings: str) -> dict[str, str]:
    """The environment of a process: this one's, without settings of the system under test."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {**kept, **settings}


class Process:
    """A Python module run as a process, with its children in a process group."""

    def __init__(
        self,
        name: str,
        module: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        pass_fds: tuple[int, ...] = (),
    ) -> None:
        self.name = name
        self.log = log
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", *module],
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                pass_fds=pass_fds,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the process, not to its children."""
        self._process.send_signal(number)

    def wait(self, seconds: float = PATIENCE) -> int:
        """Wait for the end and return the exit code (of a signal: its negative number)."""
        return self._process.wait(seconds)

    def stop(self) -> int:
        """Ask the process to end in good order, and wait until it has."""
        if self.is_running:
            self.signal(signal.SIGTERM)
        try:
            return self.wait()
        finally:
            self.kill()

    def kill(self) -> None:
        """End the process and its children at once, as `kill -9` does; harmless when they are gone."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self._process.wait(PATIENCE)

    def text(self) -> str:
        """All that the process wrote, and those of the same name before it."""
        return self.log.read_text(errors="replace")
