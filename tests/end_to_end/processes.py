"""A process with a log, which can be stopped or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from tests import fresh

ROOT = Path(__file__).resolve().parents[2]
STOPS_WITHIN = 60.0
"""Seconds within which a process must end by itself."""
FOREIGN = ("FLASK_", "GUNICORN_", "OPENAI_", "OTEL_", "SCREENER_", "TELEMETRY_")
"""Prefixes of environment variables that would affect the system under test."""


def environment(**settings: str) -> dict[str, str]:
    """Return the current environment without variables of the system under test, but with ``settings``."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(FOREIGN)}
    return {**kept, **settings}


class Process:
    """A Python module that runs as a process, with its children in a process group."""

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
        # Settings of the interpreter, such as other modules on its path, need one that has imported none.
        is_usual = all(env[key] == os.environ.get(key) for key in env if key.startswith("PYTHON"))
        start = _start_with_imports if is_usual else _start
        with log.open("ab") as output:
            self._process = start(module, env, output.fileno(), pass_fds)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_running(self) -> bool:
        return self._process.poll() is None

    def signal(self, number: int) -> None:
        """Send a signal to the process, not to its children."""
        self._process.send_signal(number)

    def wait(self, seconds: float = STOPS_WITHIN) -> int:
        """Wait for the end, and return the exit code, which is negative for a signal."""
        return self._process.wait(seconds)

    def stop(self) -> int:
        """Send SIGTERM, and wait until the process has ended."""
        if self.is_running:
            self.signal(signal.SIGTERM)
        try:
            return self.wait()
        finally:
            self.kill()

    def kill(self) -> None:
        """Kill the process and its children with SIGKILL; does nothing if they have ended."""
        try:
            os.killpg(self.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self._process.wait(STOPS_WITHIN)

    def text(self) -> str:
        """Return the log of this process, and of earlier ones of the same name."""
        return self.log.read_text(errors="replace")


def _start_with_imports(
    module: Sequence[str], env: Mapping[str, str], output: int, pass_fds: Sequence[int]
) -> fresh.Child:
    files = {1: output, 2: output, **{descriptor: descriptor for descriptor in pass_fds}}
    return fresh.start("-m", *module, cwd=ROOT, env=env, files=files, new_session=True)


def _start(
    module: Sequence[str], env: Mapping[str, str], output: int, pass_fds: Sequence[int]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", *module],
        cwd=ROOT,
        env=env,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=pass_fds,
        start_new_session=True,
    )
