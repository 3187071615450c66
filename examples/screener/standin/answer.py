"""What an operation gives back: a body or a list of events, and what was billed for it."""

from dataclasses import dataclass
from typing import Any

from .usage import Usage


@dataclass(frozen=True)
class Answer:
    """A successful answer."""

    usage: Usage
    """What was billed, whether or not the answer says so."""
    body: dict[str, Any] | None = None
    """The JSON body of a plain answer."""
    events: tuple[str, ...] = ()
    """The server-sent events of a streamed one, in order."""
    usage_reported: bool = True
    service_tier: str | None = None
    """The tier billed; None for operations without tiers."""
    status: int = 200
