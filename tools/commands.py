"""Commands of Go that run in several threads, and can be stopped together."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

SHOWN: Final = 15
"""Lines of output that are shown of a command that failed."""


class BuildFailed(RuntimeError):
    """A command failed; the message contains the end of its output."""


class Commands:
    """Runs commands, each in a process group of its own."""

    def __init__(self, go: str) -> None:
        self._go = go
        self._environment = {
            **os.environ,
            "PATH": os.pathsep.join((str(Path(go).parent), os.environ.get("PATH", os.defpath))),
            "CGO_ENABLED": "0",  # no C compiler is needed
            "GOFLAGS": "",
            "GOWORK": "off",
        }
        self._running: set[subprocess.Popen[str]] = set()
        self._stopped = False
        self._lock = threading.Lock()

    def run(self, *arguments: str, cwd: Path, count: Callable[[], None] | None = None) -> None:
        """Run Go; `count` is called for every package that it compiles and names.

        Raises:
            BuildFailed: it failed.
        """
        self._run([self._go, *arguments], cwd, count)

    def run_program(self, program: Path, *arguments: str, cwd: Path) -> None:
        """Run a program that Go built.

        Raises:
            BuildFailed: it failed.
        """
        self._run([str(program), *arguments], cwd, None)

    def stop(self) -> None:
        """End every running command with its children, and let no other begin."""
        with self._lock:
            self._stopped = True
            for process in self._running:
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)

    def _run(self, command: list[str], cwd: Path, count: Callable[[], None] | None) -> None:
        last: deque[str] = deque(maxlen=SHOWN)
        process = self._start(command, cwd)
        with process:
            assert process.stdout
            for line in process.stdout:
                last.append(line)
                if count and len(line.split()) == 1:
                    count()
        with self._lock:
            self._running.discard(process)
        if process.returncode:
            raise BuildFailed(f"`{' '.join(command)}` in {cwd} failed:\n{''.join(last)}".rstrip())

    def _start(self, command: list[str], cwd: Path) -> subprocess.Popen[str]:
        with self._lock:
            if self._stopped:
                raise BuildFailed("stopped")
            process = subprocess.Popen(
                command,
                cwd=cwd,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
                errors="replace",
                start_new_session=True,
            )
            self._running.add(process)
        return process
