"""The state that the stand-in keeps between calls."""

from collections import OrderedDict
from dataclasses import dataclass
from threading import Lock
from typing import Any

from .generation import Message
from .usage import PromptCache

MOST_RESPONSES = 10_000


@dataclass(frozen=True)
class StoredResponse:
    """A response that can be fetched and continued."""

    body: dict[str, Any]
    conversation: tuple[Message, ...]
    """The conversation up to and including the answer, without instructions."""


class ResponseStore:
    """The latest responses by key and id; thread-safe."""

    def __init__(self) -> None:
        self._responses: OrderedDict[tuple[str, str], StoredResponse] = OrderedDict()
        self._lock = Lock()

    def put(self, owner: str, response: StoredResponse) -> None:
        """Store a response for its owner, the hash of a key."""
        with self._lock:
            self._responses[owner, response.body["id"]] = response
            while len(self._responses) > MOST_RESPONSES:
                self._responses.popitem(last=False)

    def get(self, owner: str, response_id: str) -> StoredResponse | None:
        """Return a response of this owner; None if there is none."""
        with self._lock:
            return self._responses.get((owner, response_id))

    def clear(self) -> None:
        """Remove all responses."""
        with self._lock:
            self._responses.clear()


class Memory:
    """Prompts that were cached and responses that were stored."""

    def __init__(self) -> None:
        self.prompts = PromptCache()
        self.responses = ResponseStore()

    def clear(self) -> None:
        """Remove everything."""
        self.prompts.clear()
        self.responses.clear()
