"""The kinds of calls that spend money, for the synchronous and the asynchronous client."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Any

from pydantic import BaseModel

CHAT_MODEL = "gpt-6-sol"
"""A model that reasons and charges for writing its cache, so that every kind of token occurs."""
EMBEDDING_MODEL = "text-embedding-3-small"
INSTRUCTIONS = "Be precise, and say where you found it. " * 120
"""A text that is long enough for the prompt cache."""


class Anything(BaseModel):
    """A structure that any JSON object matches."""


Make = Callable[[Any, str, Mapping[str, str]], Any]
"""``(client, text, headers) -> answer``, or an awaitable or context manager of it."""


@dataclass(frozen=True)
class Kind:
    """One way to make a logical call."""

    name: str
    make: Make
    needs: str
    """The attribute of the client that it needs, such as ``responses.create``."""
    is_managed: bool = False
    """Whether the answer is the value of a ``with`` statement."""
    is_raw: bool = False
    """Whether the caller must parse the answer."""
    is_streamed: bool = False
    parses: bool = False
    """Whether the client parses the JSON in the answer into an object."""
    reports_usage: bool = True
    """Whether the answer of a successful call has a usage; streams have one only if requested."""
    is_billed_in_tokens: bool = True
    """Whether its tokens are billed as text; others are unpriced."""

    def absent_from(self, client: object) -> bool:
        """Return whether the client lacks this kind of call."""
        try:
            attrgetter(self.needs)(client)
        except AttributeError:
            return True
        return False


def chat(text: str) -> dict[str, Any]:
    """Return the body of a chat request."""
    messages = [{"role": "system", "content": INSTRUCTIONS}, {"role": "user", "content": text}]
    return {"model": CHAT_MODEL, "messages": messages}


def response(text: str) -> dict[str, Any]:
    """Return the body of a request for a response."""
    return {"model": CHAT_MODEL, "instructions": INSTRUCTIONS, "input": text}


def embedding(text: str) -> dict[str, Any]:
    """Return the body of a request for an embedding."""
    return {"model": EMBEDDING_MODEL, "input": [text, "Another candidate."]}


def image(text: str) -> dict[str, Any]:
    """Return the body of a request for an image."""
    return {"model": "gpt-image-1", "prompt": text}


def recording(text: str) -> dict[str, Any]:
    """Return the body of a request for a transcription."""
    return {"model": "gpt-4o-mini-transcribe", "prompt": text, "file": ("interview.mp3", b"\xff\xfb")}


def completion(text: str) -> dict[str, Any]:
    """Return the body of a request for a text completion."""
    return {"model": "gpt-3.5-turbo-instruct", "prompt": text}


def _made(method: str, body: Callable[[str], dict[str, Any]], **more: Any) -> Make:
    """Call a method of the client with a body, and headers of this call only."""
    get = attrgetter(method)
    return lambda client, text, headers: get(client)(**body(text), **more, extra_headers=headers)


def _posted(path: str, body: Callable[[str], dict[str, Any]]) -> Make:
    """Send a body with ``client.post``."""

    def make(client: Any, text: str, headers: Mapping[str, str]) -> Any:
        return client.post(path, cast_to=dict[str, Any], body=body(text), options={"headers": headers})

    return make


def _posted_stream(path: str, body: Callable[[str], dict[str, Any]]) -> Make:
    """Send a body with ``client.post`` and read the answer as a stream."""

    def make(client: Any, text: str, headers: Mapping[str, str]) -> Any:
        import openai
        from openai.types.chat import ChatCompletionChunk

        is_async = isinstance(client, openai.AsyncOpenAI)
        return client.post(
            path,
            cast_to=ChatCompletionChunk,
            body={**body(text), "stream": True},
            options={"headers": headers},
            stream=True,
            stream_cls=(openai.AsyncStream if is_async else openai.Stream)[ChatCompletionChunk],
        )

    return make


_CHAT = "chat.completions"
_USAGE = {"stream_options": {"include_usage": True}}

KINDS = (
    Kind("chat", _made(f"{_CHAT}.create", chat), f"{_CHAT}.create"),
    Kind(
        "chat, streamed",
        _made(f"{_CHAT}.create", chat, stream=True),
        f"{_CHAT}.create",
        is_streamed=True,
        reports_usage=False,
    ),
    Kind(
        "chat, streamed with usage",
        _made(f"{_CHAT}.create", chat, stream=True, **_USAGE),
        f"{_CHAT}.create",
        is_streamed=True,
    ),
    Kind(
        "chat, stream()",
        _made(f"{_CHAT}.stream", chat, **_USAGE),
        f"{_CHAT}.stream",
        is_managed=True,
        is_streamed=True,
    ),
    Kind(
        "chat, parse()",
        _made(f"{_CHAT}.parse", chat, response_format=Anything),
        f"{_CHAT}.parse",
        parses=True,
    ),
    Kind(
        "chat, raw",
        _made(f"{_CHAT}.with_raw_response.create", chat),
        f"{_CHAT}.with_raw_response",
        is_raw=True,
    ),
    Kind(
        "chat, raw, streamed",
        _made(f"{_CHAT}.with_raw_response.create", chat, stream=True, **_USAGE),
        f"{_CHAT}.with_raw_response",
        is_raw=True,
        is_streamed=True,
    ),
    Kind(
        "chat, streaming raw",
        _made(f"{_CHAT}.with_streaming_response.create", chat),
        f"{_CHAT}.with_streaming_response",
        is_managed=True,
        is_raw=True,
    ),
    Kind(
        "chat, streaming raw, streamed",
        _made(f"{_CHAT}.with_streaming_response.create", chat, stream=True, **_USAGE),
        f"{_CHAT}.with_streaming_response",
        is_managed=True,
        is_raw=True,
        is_streamed=True,
    ),
    Kind("chat, post()", _posted("/chat/completions", chat), "post"),
    Kind(
        "chat, post(), streamed",
        _posted_stream("/chat/completions", lambda text: {**chat(text), **_USAGE}),
        "post",
        is_streamed=True,
    ),
    Kind("responses", _made("responses.create", response), "responses.create"),
    Kind(
        "responses, streamed",
        _made("responses.create", response, stream=True),
        "responses.create",
        is_streamed=True,
    ),
    Kind(
        "responses, stream()",
        _made("responses.stream", response),
        "responses.stream",
        is_managed=True,
        is_streamed=True,
    ),
    Kind(
        "responses, parse()",
        _made("responses.parse", response, text_format=Anything),
        "responses.parse",
        parses=True,
    ),
    Kind(
        "responses, raw",
        _made("responses.with_raw_response.create", response),
        "responses.with_raw_response",
        is_raw=True,
    ),
    Kind(
        "responses, streaming raw",
        _made("responses.with_streaming_response.create", response),
        "responses.with_streaming_response",
        is_managed=True,
        is_raw=True,
    ),
    Kind("responses, post()", _posted("/responses", response), "post"),
    Kind("embeddings", _made("embeddings.create", embedding), "embeddings.create"),
    Kind(
        "embeddings, raw",
        _made("embeddings.with_raw_response.create", embedding),
        "embeddings.with_raw_response",
        is_raw=True,
    ),
    Kind(
        "embeddings, streaming raw",
        _made("embeddings.with_streaming_response.create", embedding),
        "embeddings.with_streaming_response",
        is_managed=True,
        is_raw=True,
    ),
    Kind("embeddings, post()", _posted("/embeddings", embedding), "post"),
    Kind("completions", _made("completions.create", completion), "completions.create"),
    Kind(
        "completions, streamed",
        _made("completions.create", completion, stream=True),
        "completions.create",
        is_streamed=True,
        reports_usage=False,
    ),
    Kind(
        "images",
        _made("images.generate", image),
        "images.generate",
        reports_usage=False,
        is_billed_in_tokens=False,
    ),
    Kind(
        "transcriptions",
        _made("audio.transcriptions.create", recording),
        "audio.transcriptions.create",
        reports_usage=False,
        is_billed_in_tokens=False,
    ),
)
