"""A way to tell somebody of a finding."""

from __future__ import annotations

import hashlib
from typing import Protocol

from .finding import Finding


class NotSentError(Exception):
    """A message did not get through; one line that names the setting, and holds no secret."""


class Channel(Protocol):
    """A way to tell somebody of a finding."""

    @property
    def name(self) -> str:
        """What it is remembered by: the same for each process, and without a secret."""

    def send(self, finding: Finding) -> None:
        """Tell of a finding.

        Raises:
            NotSentError: when it did not get through.
        """


def fingerprint(url: str) -> str:
    """Return what tells addresses apart; slow on purpose, so that nobody guesses the password in one."""
    return hashlib.scrypt(url.encode(), salt=b"analysis-telemetry", n=2**14, r=8, p=1, dklen=8).hex()
