"""Billed tokens, and the prompt cache, which makes some of them cheaper."""

import hashlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from threading import Lock

CACHE_FROM = 1024
CACHE_STEP = 128


@dataclass(frozen=True)
class Usage:
    """Tokens billed for one answer."""

    input_tokens: int
    """All tokens of the prompt, cached ones included."""
    output_tokens: int = 0
    """All tokens of the answer, reasoning included."""
    cached_tokens: int = 0
    """The part of the input that was served from the prompt cache."""
    cache_write_tokens: int = 0
    """The part of the input that was written to it, for which some models charge."""
    reasoning_tokens: int = 0
    """The part of the output that is hidden reasoning."""

    @property
    def total_tokens(self) -> int:
        """Input and output together."""
        return self.input_tokens + self.output_tokens

    def as_dict(self) -> dict[str, int]:
        """Return the figures by their names in the ledger."""
        return {**asdict(self), "total_tokens": self.total_tokens}


class PromptCache:
    """Remembers prompt prefixes from 1024 tokens up, in steps of 128, as the service does; thread-safe."""

    def __init__(self) -> None:
        self._seen: set[bytes] = set()
        self._lock = Lock()

    def take(self, owner: str, prompt: Sequence[str]) -> tuple[int, int]:
        """Store a prompt, and return the lengths of its longest known prefix and of its new part.

        Args:
            owner: The scope in which prompts are shared, such as key and model.
            prompt: The tokens of the prompt.
        """
        marks = _prefix_marks(owner, prompt)
        with self._lock:
            known = max((length for length, mark in marks.items() if mark in self._seen), default=0)
            self._seen.update(marks.values())
        return known, max(marks, default=known) - known

    def clear(self) -> None:
        """Remove all prompts."""
        with self._lock:
            self._seen.clear()


def _prefix_marks(owner: str, prompt: Sequence[str]) -> dict[int, bytes]:
    digest = hashlib.sha256(owner.encode())
    marks = {}
    for end in range(CACHE_STEP, len(prompt) + 1, CACHE_STEP):
        digest.update("\0".join([*prompt[end - CACHE_STEP : end], ""]).encode())
        if end >= CACHE_FROM:
            marks[end] = digest.digest()
    return marks
