"""What `make tools` prints: a line for each program, and on a terminal what is being built."""

from __future__ import annotations

import shutil
import threading
import time
from typing import Final, TextIO

from tools.programs import Build

COLOURS: Final = {"built": "\033[32m", "kept": "\033[2m"}
PLAIN: Final = "\033[0m"
CLEAR: Final = "\r\033[K"


class Display:
    """Prints on `stream`; the methods may be called from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self._lock = threading.Lock()
        self._counts: dict[str, int] = {}
        self._began: dict[str, float] = {}

    def begin(self, build: Build) -> None:
        """Note that a build begins; where there is no terminal to show progress on, print it."""
        with self._lock:
            self._counts[build.name], self._began[build.name] = 0, time.monotonic()
            if not self._is_terminal:
                self._print(f"{_title(build)}  building: minutes the first time, seconds if Go has it cached")

    def count(self, build: Build) -> None:
        """Note that another package is compiled."""
        with self._lock:
            self._counts[build.name] += 1

    def line(self, build: Build, word: str, seconds: float | None = None) -> None:
        """Print what happened to a build: that it was `built`, or `kept`."""
        with self._lock:
            self._counts.pop(build.name, None)
            shown = f"{COLOURS[word]}{word}{PLAIN}" if self._is_terminal else word
            self._print(f"{_title(build)}  {shown}" + ("" if seconds is None else f" in {seconds:.0f} s"))

    def remark(self, text: str) -> None:
        """Print a line of its own, unless it is empty."""
        with self._lock:
            if text:
                self._print(text)

    def refresh(self) -> None:
        """Show on a terminal what is being built, in a line that the next one replaces."""
        with self._lock:
            if not self._is_terminal or not self._counts:
                return
            now = time.monotonic()
            parts = (
                f"{name} {count} packages compiled, {now - self._began[name]:.0f} s"
                for name, count in self._counts.items()
            )
            line = f"  building {' · '.join(parts)}"
            self._stream.write(CLEAR + line[: shutil.get_terminal_size().columns - 1])
            self._stream.flush()

    def end(self) -> None:
        """Clear the line of progress."""
        with self._lock:
            if self._is_terminal:
                self._stream.write(CLEAR)
                self._stream.flush()

    def _print(self, text: str) -> None:
        self._stream.write((CLEAR if self._is_terminal else "") + text + "\n")
        self._stream.flush()


def _title(build: Build) -> str:
    return f"{', '.join(build.packages):20} {build.version:8}"
