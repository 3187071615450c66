"""The answer of an operation: a body or a list of events, and its billed usage."""

from dataclasses import dataclass, replace
from typing import Any, Self

from .usage import Usage


@dataclass(frozen=True)
class Answer:
    """A successful answer."""

    usage: Usage | None
    """The billed usage, whether or not the answer has it; None for what is free of charge."""
    body: dict[str, Any] | None = None
    """The JSON body of a plain answer."""
    events: tuple[dict[str, Any], ...] = ()
    """The chunks of a streamed answer, in order; the last one has the usage, if it is reported."""
    ends_with_done: bool = False
    """Whether ``[DONE]`` follows the last chunk."""
    usage_reported: bool = True
    """Whether the answer has its billed usage."""
    service_tier: str | None = None
    """The billed tier; None for operations without tiers."""
    model: str | None = None
    """The model that the answer names, where it does not follow from the request."""
    cut: bool = False
    """Whether the connection is closed before the answer has ended."""
    status: int = 200

    def cut_off(self, chunks: int | None, breaks_body: bool) -> Self:
        """Return the answer as it is when the connection is closed before its end.

        Args:
            chunks: Number of chunks after which a stream is cut, if it has as many; None cuts none.
            breaks_body: Whether a plain answer is cut.
        """
        if self.body is not None:
            return replace(self, usage_reported=False, cut=True) if breaks_body else self
        if chunks is None or chunks > len(self.events):
            return self
        reported = self.usage_reported and chunks == len(self.events)
        return replace(self, events=self.events[:chunks], usage_reported=reported, cut=True)
