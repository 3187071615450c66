"""The operations of the stand-in: their paths, and the functions that answer them."""

from collections.abc import Callable
from dataclasses import dataclass

from . import chat, completions, embeddings, media, responses
from .answer import Answer
from .calls import Call
from .errors import ApiError
from .faults import Fault
from .memory import Memory

_DEPLOYED = ("/v1", "/openai/v1", "/openai/deployments/<deployment>")
_RESPONSES = ("/v1", "/openai/v1", "/openai")


@dataclass(frozen=True)
class Operation:
    """One operation of the service."""

    name: str
    """Its name in the ledger."""
    methods: tuple[str, ...]
    paths: tuple[str, ...]
    answer: Callable[[Call, int, Fault, Memory], Answer]
    """Answers an attempt (call, its number, fault, memory) or raises `ApiError`."""


def _unknown(call: Call, attempt: int, fault: Fault, memory: Memory) -> Answer:
    raise ApiError(404, f"Invalid URL ({call.method} {call.path})")


def _below(bases: tuple[str, ...], path: str) -> tuple[str, ...]:
    return tuple(f"{base}{path}" for base in bases)


OPERATIONS = (
    Operation("chat", ("POST",), _below(_DEPLOYED, "/chat/completions"), chat.answer),
    Operation("completions", ("POST",), _below(_DEPLOYED, "/completions"), completions.answer),
    Operation("embeddings", ("POST",), _below(_DEPLOYED, "/embeddings"), embeddings.answer),
    Operation("images", ("POST",), _below(_DEPLOYED, "/images/generations"), media.image),
    Operation("transcriptions", ("POST",), _below(_DEPLOYED, "/audio/transcriptions"), media.transcription),
    Operation("batches", ("POST",), ("/v1/batches", "/openai/v1/batches"), media.batch),
    Operation("responses", ("POST",), _below(_RESPONSES, "/responses"), responses.answer),
    Operation("retrieval", ("GET",), _below(_RESPONSES, "/responses/<response_id>"), responses.retrieve),
    Operation("unknown", ("GET", "POST", "DELETE"), ("/v1/<path:_>", "/openai/<path:_>"), _unknown),
)
