"""The processes of the demo: each has its own process group and a log, and none is left behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

from . import watchdog
from .errors import DemoError

ROOT = Path(__file__).resolve().parents[3]
"""The folder that contains ``examples``."""
PATIENCE = 10.0
"""Seconds within which a process must end by itself after a success."""
IMPATIENCE = 3.0
"""Seconds within which it must end by itself after a failure."""


class Process:
    """A process with its name and its log."""

    def __init__(self, name: str, popen: subprocess.Popen[bytes], log: Path) -> None:
        self.name = name
        self.popen = popen
        self.log = log

    def failure(self) -> DemoError:
        """Return the error for a process that ended."""
        code = self.popen.poll()
        how = (
            f"was ended by {signal.Signals(-code).name}" if code and code < 0 else f"ended with status {code}"
        )
        return DemoError(f"The {self.name} process {how}; the end of {self.log}:", self.log)

    def stop(self, patience: float) -> None:
        """Stop it with all its children, and kill those that do not end within `patience` seconds."""
        if self.popen.poll() is None:
            self.popen.terminate()
        try:
            self.popen.wait(patience)
        except subprocess.TimeoutExpired:
            pass
        watchdog.send(self.popen.pid, signal.SIGKILL)
        self.popen.wait()


class Processes:
    """All processes of the demo. They end with it, in reverse order, even when it is killed."""

    def __init__(self) -> None:
        self._started: list[Process] = []

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", watchdog.__name__]
        self._watchdog = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, start_new_session=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is not None:  # after a failure: all at once
            for process in self._started:
                process.popen.terminate()
        for process in reversed(self._started):
            process.stop(PATIENCE if kind is None else IMPATIENCE)
        self._watchdog.kill()
        self._watchdog.communicate()

    def start(
        self,
        name: str,
        command: Sequence[str],
        env: Mapping[str, str],
        log: Path,
        pass_fds: Sequence[int] = (),
    ) -> Process:
        """Start ``python -m command…``; its output goes to its log."""
        with log.open("ab") as output, _undisturbed():
            popen = subprocess.Popen(
                [sys.executable, "-m", *command],
                cwd=ROOT,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=pass_fds,
            )
            process = Process(name, popen, log)
            self._started.append(process)
            self._tell_watchdog(popen.pid)
        return process

    def finish(self, process: Process) -> None:
        """Wait until a process has ended successfully.

        Raises:
            DemoError: it failed.
        """
        if process.popen.wait() != 0:
            raise process.failure()
        self._started.remove(process)

    def check(self) -> None:
        """Check that all processes are running.

        Raises:
            DemoError: one has ended; the message names it.
        """
        for process in self._started:
            if process.popen.poll() is not None:
                raise process.failure()

    def wait_until(
        self, condition: Callable[[], object], what: str, seconds: float, log: Path | None = None
    ) -> None:
        """Wait until a condition holds while all processes run.

        Raises:
            DemoError: a process has ended, or `what` did not hold within `seconds`.
        """
        deadline = time.monotonic() + seconds
        while not condition():
            self.check()
            if time.monotonic() > deadline:
                raise DemoError(f"{what} within {seconds:g} seconds.", log)
            time.sleep(0.05)

    def _tell_watchdog(self, group: int) -> None:
        assert self._watchdog.stdin is not None
        self._watchdog.stdin.write(f"{group}\n".encode())
        self._watchdog.stdin.flush()


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Defer signals that end the demo: one during the start of a process would leave it behind."""
    came: list[int] = []
    before = {
        number: signal.signal(number, lambda number, _: came.append(number))
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        for late in came:
            signal.raise_signal(late)
