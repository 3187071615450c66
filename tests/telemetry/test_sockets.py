"""Responses over a WebSocket are counted, although no HTTP request is made."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any, ClassVar

import openai
import pytest
from openai import AsyncOpenAI, OpenAI

import telemetry
from telemetry.openai.socket import MODULES
from tests.telemetry.recordings import Recorded, calls_by_stage

SETTINGS: dict[str, Any] = {"base_url": "http://127.0.0.1/v1", "api_key": "any"}
MODEL = "gpt-5-mini"
COST = 1000 * 250_000 + 100 * 2_000_000


def done(kind: str = "response.done", **details: int) -> dict[str, Any]:
    """Return the event that ends a response, with its usage."""
    used = {
        "input_tokens": 1000,
        "output_tokens": 100,
        "total_tokens": 1100,
        ("input_token_details" if kind == "response.done" else "input_tokens_details"): details,
    }
    answer = {"id": "resp_1", "object": "response", "status": "completed", "usage": used, "output": []}
    return {"type": kind, "event_id": "e", "response": answer}


CREATED = {"type": "response.created", "event_id": "e", "response": {"id": "resp_1", "usage": None}}
DELTA = {"type": "response.output_text.delta", "event_id": "e", "delta": "a"}


class Socket:
    """A connection of the WebSocket library, which receives the events that a test gives."""

    events: ClassVar[list[dict[str, Any]]] = []
    refuses: ClassVar[bool] = False

    def __init__(self, *_: Any, **__: Any) -> None:
        if self.refuses:
            raise OSError("refused")
        self._left = list(self.events)

    def recv(self, decode: bool = True) -> bytes:
        return json.dumps(self._left.pop(0)).encode()

    def send(self, data: object) -> None:
        pass

    def close(self, **_: object) -> None:
        pass


class AsyncSocket(Socket):
    """A connection of the asynchronous library."""

    def __await__(self) -> Any:
        yield from ()
        return self

    async def recv(self, decode: bool = True) -> bytes:  # type: ignore[override]
        return super().recv()

    async def close(self, **_: object) -> None:  # type: ignore[override]
        pass


@pytest.fixture(autouse=True)
def library(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Replace the WebSocket library by the parts of it that the client uses."""
    contents: dict[str, dict[str, object]] = {
        "websockets": {},
        "websockets.uri": {"parse_uri": str},
        "websockets.version": {"version": "17.0"},
        "websockets.exceptions": {
            name: type(name, (Exception,), {})
            for name in ("SecurityError", "ConnectionClosed", "ConnectionClosedOK", "ConnectionClosedError")
        },
        "websockets.sync": {},
        "websockets.sync.client": {"ClientConnection": Socket, "connect": Socket},
        "websockets.asyncio": {},
        "websockets.asyncio.client": {"ClientConnection": AsyncSocket, "connect": AsyncSocket},
    }
    for name, content in contents.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    for name in ("openai.lib._websocket", "openai.lib.realtime._websocket"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    yield
    Socket.events, Socket.refuses = [], False
    sys.modules.pop("openai.lib._websocket", None)


def receive(connect: Callable[[OpenAI], Any], events: list[dict[str, Any]], read: int | None = None) -> None:
    """Open a connection and read its events."""
    Socket.events = events
    with OpenAI(**SETTINGS) as client, connect(client) as connection:
        for _ in range(len(events) if read is None else read):
            connection.recv()


def realtime(client: OpenAI) -> Any:
    return client.realtime.connect(model=MODEL)


def responses(client: OpenAI) -> Any:
    return client.responses.connect()


def test_every_kind_of_connection_is_known() -> None:
    """Every module of the installed client that opens sockets is instrumented."""
    root = Path(openai.__file__).parent
    modules = {
        ".".join(("openai", *file.relative_to(root).with_suffix("").parts))
        for file in (root / "resources").rglob("*.py")
        if "ConnectionManager:" in file.read_text()
    }
    assert modules <= set(MODULES)
    assert "openai.resources.realtime.realtime" in modules


@pytest.mark.parametrize("events", [[], [CREATED], [CREATED, DELTA]])
def test_connection_without_usage_is_a_call_of_unknown_cost(
    recorded: Recorded, events: list[dict[str, Any]]
) -> None:
    """It is not an error."""
    with telemetry.run("intake"), telemetry.stage("ranking"):
        receive(realtime, events)
    run = recorded.run()

    assert calls_by_stage(run) == {"ranking": 1}
    assert (run.total.usage_missing, run.total.errors, run.unfinished) == (1, 0, 0)
    assert not run.cost_complete
    assert {key.operation for key in run.usage if key.operation} == {"realtime"}


def test_each_response_counts_as_a_call(recorded: Recorded) -> None:
    """It is priced by its usage."""
    with telemetry.run("intake"), telemetry.stage("ranking"):
        receive(realtime, [CREATED, DELTA, done(), CREATED, done(text_tokens=1000)])
    run = recorded.run()

    assert calls_by_stage(run) == {"ranking": 2}
    assert (run.total.input_tokens, run.total.output_tokens, run.total.cost_pico) == (2000, 200, 2 * COST)
    assert run.cost_complete


def test_audio_is_unpriced(recorded: Recorded) -> None:
    """Tokens of audio count, and make the call unpriced."""
    with telemetry.run("intake"):
        receive(realtime, [CREATED, done(audio_tokens=900, text_tokens=100)])
    run = recorded.run()

    assert (run.total.calls, run.total.input_tokens, run.total.unpriced) == (1, 1000, 1)
    assert not run.cost_complete


def test_abandoned_response_has_an_unknown_bill(recorded: Recorded) -> None:
    """It is still under way when the connection is closed."""
    with telemetry.run("intake"):
        receive(realtime, [CREATED, done(), CREATED, DELTA, done()], read=4)
    run = recorded.run()

    assert (run.total.calls, run.total.cost_pico, run.total.usage_missing) == (2, COST, 1)


def test_responses_api_over_a_socket_counts(recorded: Recorded) -> None:
    """Its calls are like those by HTTP."""
    completed = done("response.completed")
    completed["response"]["model"] = MODEL
    with telemetry.run("intake"):
        receive(responses, [CREATED, DELTA, completed])
    run = recorded.run()

    assert [(key.operation, key.model) for key in run.usage] == [("chat", MODEL)]
    assert (run.total.calls, run.total.cost_pico, run.cost_complete) == (1, COST, True)


def test_asynchronous_connection_counts(recorded: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    """It counts even if the connection is entered without a block."""
    Socket.events = [CREATED, done()]

    async def main() -> None:
        async with AsyncOpenAI(**SETTINGS) as client:
            connection = await client.realtime.connect(model=MODEL).enter()
            for _ in range(2):
                await connection.recv()
            await connection.close()

    with telemetry.run("intake"), telemetry.stage("ranking"):
        asyncio.run(main())
    run = recorded.run()

    assert calls_by_stage(run) == {"ranking": 1}
    assert (run.total.cost_pico, run.cost_complete) == (COST, True)


def test_refused_connection_is_an_error_without_cost(recorded: Recorded) -> None:
    """The exception reaches the application."""
    Socket.refuses = True
    with telemetry.run("intake"), pytest.raises(OSError, match="refused"):
        receive(realtime, [])
    run = recorded.runs()[0]

    assert (run.total.calls, run.total.errors, run.total.usage_missing) == (1, 1, 0)
