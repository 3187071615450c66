"""A program that a nursery has started."""

from __future__ import annotations

import os
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, Self, TextIO

if TYPE_CHECKING:
    from tests.fresh.nursery import Nursery


class Child:
    """A program that a nursery has started; like ``subprocess.Popen``.

    Attributes:
        pid: its process id.
        stdin, stdout, stderr: our ends of its pipes, which exist if :func:`talk` has started it.
        returncode: its exit code once it was waited for, negative for a signal.
    """

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid
        self.returncode: int | None = None
        self.stdin: TextIO | None = None
        self.stdout: TextIO | None = None
        self.stderr: TextIO | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._close()
        self.wait()

    def poll(self) -> int | None:
        """Return the exit code, which is negative for a signal, or None while it runs."""
        self.returncode = self._nursery.exit_code(self.pid, 0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit code.

        Raises:
            subprocess.TimeoutExpired: it goes on for longer.
        """
        self.returncode = self._nursery.exit_code(self.pid, timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return self.returncode

    def communicate(self, text: str = "", timeout: float | None = None) -> tuple[str, str]:
        """Write a text and the end of the input, and return what it still prints until it ends.

        Raises:
            subprocess.TimeoutExpired: it goes on for longer.
        """
        with ThreadPoolExecutor(2) as pool:
            printed = [pool.submit(_rest_of, stream) for stream in (self.stdout, self.stderr)]
            if self.stdin and not self.stdin.closed:
                with suppress(BrokenPipeError), self.stdin:
                    self.stdin.write(text)
            try:
                self.wait(timeout)
            except subprocess.TimeoutExpired:
                self.kill()
                raise
            out, err = (each.result() for each in printed)
        self._close()
        return out, err

    def kill(self) -> None:
        """Send SIGKILL, unless it has ended."""
        self.send_signal(signal.SIGKILL)

    def terminate(self) -> None:
        """Send SIGTERM, unless it has ended."""
        self.send_signal(signal.SIGTERM)

    def _close(self) -> None:
        for stream in (self.stdin, self.stdout, self.stderr):
            if stream:
                with suppress(BrokenPipeError):
                    stream.close()

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


def _rest_of(stream: TextIO | None) -> str:
    return stream.read() if stream and not stream.closed else ""
