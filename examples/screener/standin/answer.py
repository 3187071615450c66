"""What an operation gives back: a body or a list of events, and what was billed for it."""

from dataclasses import dataclass, replace
from typing import Any, Self

from .usage import Usage


@dataclass(frozen=True)
class Answer:
    """A successful answer."""

    usage: Usage | None
    """What was billed, whether or not the answer says so; None for what is free of charge."""
    body: dict[str, Any] | None = None
    """The JSON body of a plain answer."""
    events: tuple[dict[str, Any], ...] = ()
    """The chunks of a streamed one, in order; where usage is reported, the last one carries it."""
    ends_with_done: bool = False
    """Whether ``[DONE]`` follows the last chunk."""
    usage_reported: bool = True
    """Whether the answer carries what was billed for it."""
    service_tier: str | None = None
    """The tier billed; None for operations without tiers."""
    model: str | None = None
    """The model named, where it does not follow from the request."""
    cut: bool = False
    """Whether the connection is closed before the stream has ended."""
    status: int = 200

    def cut_after(self, chunks: int | None) -> Self:
        """Return the answer as it is when the connection is closed after so many chunks.

        Only streams can be cut, and only those with as many chunks; None cuts nothing.
        """
        if self.body is not None or chunks is None or chunks > len(self.events):
            return self
        reported = self.usage_reported and chunks == len(self.events)
        return replace(self, events=self.events[:chunks], usage_reported=reported, cut=True)
