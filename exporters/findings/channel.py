"""The interface of the channels that findings are sent to."""

from __future__ import annotations

import hashlib
from typing import Protocol

from .finding import Finding


class NotSentError(Exception):
    """A message was not delivered; the text is one line that names the setting and contains no secret."""


class Channel(Protocol):
    """A channel that findings are sent to."""

    @property
    def name(self) -> str:
        """A name that is the same in each process and contains no secret; claims use it."""

    def send(self, finding: Finding) -> None:
        """Send a finding.

        Raises:
            NotSentError: if it was not delivered.
        """


def fingerprint(url: str) -> str:
    """Return a hash that identifies an address; it is slow, so that a password in it cannot be guessed."""
    return hashlib.scrypt(url.encode(), salt=b"analysis-telemetry", n=2**14, r=8, p=1, dklen=8).hex()
