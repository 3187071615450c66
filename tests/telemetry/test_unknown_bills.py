"""Attempts that may have been billed unseen: the cost of their run is incomplete."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI

from exporters.recording import calls
from exporters.rollup.merge import Rollup
from telemetry import run, stage
from telemetry._internal.guard import raise_internal_errors, reset_internal_errors
from telemetry.openai import calls as attempts
from tests.local_server import Handler, LocalServer
from tests.telemetry.conftest import Record
from tests.telemetry.recordings import Recorded
from tests.telemetry.test_usage import chat, usage

KEY = "any"
REQUEST: dict[str, Any] = {"model": "gpt-4o-mini", "messages": [{"role": "user", "content": "Hello"}]}
Do = Callable[[str], object]


class Unreliable(Handler):
    """Answers every call, but breaks off the answer to the first attempt, which is billed all the same."""

    first = "cut"
    billed = 0
    test_is_over: threading.Event

    def do_POST(self) -> None:
        self.body()
        kind = type(self)
        is_first, kind.billed = kind.billed == 0, kind.billed + 1
        body = json.dumps(chat(usage(1000, 100))).encode()
        if is_first and self.first.isdigit():
            self.answer(int(self.first), retry_after_ms="1")
            return
        if is_first and self.first == "reset":
            self.connection.close()
            return
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[:50] if is_first else body)
        self.wfile.flush()
        if is_first and self.first == "stall":
            kind.test_is_over.wait(20)
        if is_first:
            self.connection.close()

    def handle(self) -> None:
        try:
            super().handle()
        except (OSError, ValueError):  # the connection is closed, on purpose
            self.close_connection = True


@pytest.fixture
def unreliable(request: pytest.FixtureRequest) -> Iterator[str]:
    test_is_over = threading.Event()
    kind: Any = type("Of", (Unreliable,), {"first": request.param, "billed": 0, "test_is_over": test_is_over})
    with LocalServer(kind) as server:
        yield server.url
        test_is_over.set()
    assert kind.billed == 2


def plain(url: str) -> None:
    with OpenAI(base_url=url, api_key=KEY, timeout=0.5) as client:
        client.chat.completions.create(**REQUEST)


def raw(url: str) -> None:
    with OpenAI(base_url=url, api_key=KEY, timeout=0.5) as client:
        client.chat.completions.with_raw_response.create(**REQUEST).parse()


def posted(url: str) -> None:
    with OpenAI(base_url=url, api_key=KEY, timeout=0.5) as client:
        client.post("/chat/completions", cast_to=dict, body=REQUEST)


def own_transport(url: str) -> None:
    http = httpx2.Client(transport=httpx2.HTTPTransport(), timeout=0.5)
    with OpenAI(base_url=url, api_key=KEY, http_client=http) as client:
        client.with_options(timeout=0.5).chat.completions.create(**REQUEST)


def asynchronous(url: str) -> None:
    async def ask() -> None:
        async with AsyncOpenAI(base_url=url, api_key=KEY, timeout=0.5) as client:
            await client.chat.completions.create(**REQUEST)

    asyncio.run(ask())


def read_piece_by_piece(url: str) -> None:
    """Here only the application itself tries again."""
    with OpenAI(base_url=url, api_key=KEY, timeout=0.5) as client:
        ask = client.chat.completions.with_streaming_response.create
        with pytest.raises((httpx2.HTTPError, openai.APIError)), ask(**REQUEST) as answer:
            answer.read()
        client.chat.completions.create(**REQUEST)


def streamed(url: str) -> None:
    with OpenAI(base_url=url, api_key=KEY, timeout=0.5) as client:
        with pytest.raises((httpx2.HTTPError, openai.APIError)):
            for _ in client.chat.completions.create(**REQUEST, stream=True):
                pass
            raise openai.APIError("nothing came", httpx2.Request("POST", url), body=None)
        client.chat.completions.create(**REQUEST)


WAYS = (plain, raw, posted, own_transport, asynchronous, read_piece_by_piece, streamed)


@pytest.mark.parametrize("do", WAYS, ids=lambda do: do.__name__)
@pytest.mark.parametrize("unreliable", ["cut", "stall"], indirect=True)
def test_incomplete_answer_makes_the_cost_incomplete(recorded: Recorded, unreliable: str, do: Do) -> None:
    """Two answers were billed and one is known, although the retry succeeded."""
    rollup = during(recorded, lambda: do(unreliable))

    assert (rollup.total.input_tokens, rollup.cost_complete) == (1000, False)
    assert rollup.total.usage_missing + rollup.unfinished >= 1


@pytest.mark.parametrize("unreliable", ["reset", "502", "504", "520", "524"], indirect=True)
def test_lost_answer_makes_the_cost_incomplete(recorded: Recorded, unreliable: str) -> None:
    """The request was sent, and a gateway does not say whether the service processed it."""
    rollup = during(recorded, lambda: plain(unreliable))

    assert (rollup.total.input_tokens, rollup.total.usage_missing, rollup.cost_complete) == (1000, 1, False)


@pytest.mark.parametrize("unreliable", ["429", "500", "503"], indirect=True)
def test_a_refusal_is_not_billed(recorded: Recorded, unreliable: str) -> None:
    """The service itself refused, so that nothing is unknown."""
    rollup = during(recorded, lambda: plain(unreliable))

    assert (rollup.total.input_tokens, rollup.cost_complete) == (1000, True)


PLACES = {
    "begin": (attempts, "_Call"),
    "attempt": (attempts, "limits_in"),
    "answer": (attempts, "answer_of"),
    "counting": (calls, "from_wire"),
}


@pytest.mark.internal_errors
@pytest.mark.parametrize("error", [RuntimeError("a mistake of ours"), MemoryError()], ids=["error", "memory"])
@pytest.mark.parametrize("place", PLACES)
def test_internal_error_makes_the_cost_incomplete(
    record: Record, monkeypatch: pytest.MonkeyPatch, place: str, error: Exception
) -> None:
    """The application gets its answer, and the run's cost is marked as incomplete."""
    recorded = record()
    raise_internal_errors(False)
    kind = type("Of", (Unreliable,), {"first": "none", "billed": 1, "test_is_over": threading.Event()})
    module, name = PLACES[place]

    def fail(*_: object, **__: object) -> None:
        raise error

    try:
        with LocalServer(kind) as server:

            def do() -> None:
                plain(server.url)
                with monkeypatch.context() as patched:
                    patched.setattr(module, name, fail)
                    plain(server.url)
                plain(server.url)

            rollup = during(recorded, do)
    finally:
        reset_internal_errors()

    assert rollup.total.input_tokens >= 2000
    assert not rollup.cost_complete


def during(recorded: Recorded, do: Callable[[], object]) -> Rollup:
    with run("analysis", candidates=1), stage("ranking"):
        do()
    return recorded.run()
