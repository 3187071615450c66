"""Errors that end the demo early."""

from __future__ import annotations

from pathlib import Path

TAIL = 15
"""Lines of a log that are shown."""


class DemoError(Exception):
    """The demo cannot go on; the message is one line, `log` the file that says more."""

    def __init__(self, message: str, log: Path | None = None) -> None:
        super().__init__(message)
        self.log = log

    @property
    def tail(self) -> str:
        """Return the last lines of the log, or none if there is no log."""
        if self.log is None or not self.log.is_file():
            return ""
        lines = self.log.read_text(errors="replace").splitlines()[-TAIL:]
        return "\n".join(lines)
