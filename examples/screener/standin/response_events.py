"""The events of a streamed response."""

from collections.abc import Iterator
from typing import Any

from .generation import TOKENS_PER_CHUNK
from .tiers import Tier
from .tokens import pieces

_Event = dict[str, Any]


def events(body: dict[str, Any], *, asked_tier: Tier) -> Iterator[_Event]:
    """Yield the numbered events of a response, from ``response.created`` to the one with the whole body.

    Args:
        body: The finished response.
        asked_tier: The service tier in the first events; only the last one names the billed tier.
    """
    for number, event in enumerate(_events(body, asked_tier)):
        yield {**event, "sequence_number": number}


def _events(body: dict[str, Any], asked_tier: Tier) -> Iterator[_Event]:
    begun = {
        **body,
        "status": "in_progress",
        "incomplete_details": None,
        "output": [],
        "service_tier": asked_tier,
        "usage": None,
    }
    yield {"type": "response.created", "response": begun}
    yield {"type": "response.in_progress", "response": begun}
    for index, item in enumerate(body["output"]):
        yield from _message(index, item) if item["type"] == "message" else _reasoning(index, item)
    yield {"type": f"response.{body['status']}", "response": body}


def _reasoning(index: int, item: dict[str, Any]) -> Iterator[_Event]:
    yield {"type": "response.output_item.added", "output_index": index, "item": item}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}


def _message(index: int, item: dict[str, Any]) -> Iterator[_Event]:
    (part,) = item["content"]
    where = {"item_id": item["id"], "output_index": index, "content_index": 0}
    begun = {**item, "status": "in_progress", "content": []}
    yield {"type": "response.output_item.added", "output_index": index, "item": begun}
    yield {"type": "response.content_part.added", **where, "part": {**part, "text": ""}}
    for piece in pieces(part["text"], TOKENS_PER_CHUNK):
        yield {"type": "response.output_text.delta", **where, "delta": piece, "logprobs": []}
    yield {"type": "response.output_text.done", **where, "text": part["text"], "logprobs": []}
    yield {"type": "response.content_part.done", **where, "part": part}
    yield {"type": "response.output_item.done", "output_index": index, "item": item}
