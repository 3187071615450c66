"""The ways in which an application calls OpenAI, for the synchronous and the asynchronous client."""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import httpx2
from openai import AsyncOpenAI, OpenAI
from pydantic import BaseModel

from telemetry.conventions import GENAI_SCOPE, OPENAI_SCOPE

Client = Literal["sync", "async"]
CLIENTS: tuple[Client, ...] = ("sync", "async")

CHAT_MODEL = "gpt-6-sol"
"""A model that reasons and charges for writing its cache, so that every kind of token occurs."""
EMBEDDING_MODEL = "text-embedding-3-small"
SECRET = "Zanzibar"
"""A word of every prompt, which no span may contain."""
MESSAGES: Any = [
    {"role": "user", "content": f"Describe the candidate from {SECRET}. " + "Be precise. " * 500}
]
CHAT_BODY = {"model": CHAT_MODEL, "messages": MESSAGES}
EMBEDDING_BODY = {"model": EMBEDDING_MODEL, "input": [f"An engineer from {SECRET}"]}


class Anything(BaseModel):
    """A structure that any JSON object matches."""


@dataclass(frozen=True)
class Way:
    """One way to make a logical call."""

    name: str
    call: Callable[[Any], Any]
    operation: str = "chat"
    scope: str = GENAI_SCOPE
    reports_usage: bool = True
    """Whether the answer contains token counts; a stream contains them only on request."""

    @property
    def model(self) -> str:
        return EMBEDDING_MODEL if self.operation == "embeddings" else CHAT_MODEL


WAYS = (
    Way("chat", lambda c: c.chat.completions.create(**CHAT_BODY)),
    Way("chat raw", lambda c: c.chat.completions.with_raw_response.create(**CHAT_BODY)),
    Way("chat parse", lambda c: c.chat.completions.parse(**CHAT_BODY, response_format=Anything)),
    Way("chat stream", lambda c: c.chat.completions.create(**CHAT_BODY, stream=True), reports_usage=False),
    Way(
        "chat stream with usage",
        lambda c: c.chat.completions.create(**CHAT_BODY, stream=True, stream_options={"include_usage": True}),
    ),
    Way("embeddings", lambda c: c.embeddings.create(**EMBEDDING_BODY), "embeddings"),
    Way("embeddings raw", lambda c: c.embeddings.with_raw_response.create(**EMBEDDING_BODY), "embeddings"),
    Way(
        "post chat",
        lambda c: c.post("/chat/completions", cast_to=httpx2.Response, body=CHAT_BODY),
        scope=OPENAI_SCOPE,
    ),
    Way(
        "post embeddings",
        lambda c: c.post("/embeddings", cast_to=httpx2.Response, body=EMBEDDING_BODY),
        "embeddings",
        OPENAI_SCOPE,
    ),
)


def drive(client: Client, way: Way, url: str, **options: Any) -> None:
    """Make one call with a new client, and read the answer to its end."""
    settings = {"base_url": url, "api_key": "any", **options}
    if client == "sync":
        with OpenAI(**settings) as sync_client:
            _read(way.call(sync_client))
    else:
        asyncio.run(_drive_async(way, settings))


async def _drive_async(way: Way, settings: dict[str, Any]) -> None:
    async with AsyncOpenAI(**settings) as client:
        result = await way.call(client)
        if hasattr(result, "__aiter__"):
            async for _ in result:
                pass


def _read(result: Any) -> None:
    if hasattr(result, "__next__") and not inspect.isawaitable(result):
        for _ in result:
            pass
