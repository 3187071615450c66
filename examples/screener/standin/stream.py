"""Send an answer whose connection may close before its end: server-sent events, or a plain body."""

import errno
import json
import time
from collections.abc import Iterator
from typing import Any

from .answer import Answer


def send(answer: Answer, chunk_delay_ms: float) -> Iterator[str]:
    """Yield the events of an answer.

    Args:
        answer: A streamed answer.
        chunk_delay_ms: The pause between two chunks.

    Raises:
        ConnectionResetError: The stream is to be cut here; the server closes the connection.
    """
    yield ""  # makes the server send the headers, even if nothing follows
    for number, event in enumerate(answer.events):
        if number and chunk_delay_ms:
            time.sleep(chunk_delay_ms / 1000)
        yield _written(event)
    if answer.cut:
        raise _reset()
    if answer.ends_with_done:
        yield "data: [DONE]\n\n"


def send_half(body: bytes) -> Iterator[bytes]:
    """Yield the first half of a body.

    Raises:
        ConnectionResetError: then; the server closes the connection.
    """
    yield body[: len(body) // 2]
    raise _reset()


def _reset() -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, "the answer is cut off, as configured")


def _written(event: dict[str, Any]) -> str:
    name = f"event: {event['type']}\n" if "type" in event else ""
    return f"{name}data: {json.dumps(event)}\n\n"
