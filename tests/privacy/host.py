"""An application full of personal data: `python -m tests.privacy.host BASE_URL FOLDER [EVERY]`.

It makes every kind of call to OpenAI (with EVERY, only one kind in so many), successful and failing ones,
raises exceptions in all places that telemetry observes, and logs personal data. At its end it writes the
metrics of its listener into FOLDER.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import sys
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import AsyncExitStack, ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from openai import AsyncOpenAI, OpenAI
from opentelemetry import trace
from pydantic import BaseModel

import telemetry
from telemetry.conventions import Attribute
from telemetry.setup.process import pipeline, setup_telemetry, shutdown
from tests.matrix.kinds import CHAT_MODEL, KINDS, Kind
from tests.privacy.canaries import ATTACHED, EMAIL, FILE, LITERAL, NAME, PHONE, RESUME

ENDINGS = ("answered", "refused", "limited", "left")
"""The ways in which a call ends; `left`: its answer is not read to the end."""
FAULTS = [
    {"match": {"contains": "refused"}, "status": 400},
    {"match": {"contains": "limited"}, "status": 429, "retry_after_ms": 1},
]

log = logging.getLogger("host")


class Unreadable(Exception):
    """An error whose message holds personal data."""


class Strict(BaseModel):
    """A structure that the answers do not match, so that the validation error quotes the answer."""

    years: int


def main(base_url: str, folder: Path, every: int = 1) -> None:
    logging.getLogger().setLevel(logging.DEBUG)
    setup_telemetry()
    with OpenAI(base_url=base_url, api_key="any") as client:
        make_calls(client, KINDS[::every])
        fail_everywhere(client)
    asyncio.run(make_calls_in_loop(base_url, KINDS[::every]))
    current = pipeline()
    assert current is not None and current.listener is not None
    listener = current.listener
    with urllib.request.urlopen(f"http://127.0.0.1:{listener.port}/metrics") as answer:
        (folder / "metrics").write_bytes(answer.read())
    shutdown(5)


def analysis() -> telemetry.RunHandle:
    return telemetry.run("analysis", user_id=7, candidates=1)


def make_calls(client: OpenAI, kinds: Sequence[Kind]) -> None:
    for kind in kinds:
        for ending in ENDINGS:
            with analysis(), telemetry.stage("ranking"), telemetry.document(FILE, type="pdf"):
                with suppress(Exception):
                    _read(kind, client, ending)


async def make_calls_in_loop(base_url: str, kinds: Sequence[Kind]) -> None:
    async with AsyncOpenAI(base_url=base_url, api_key="any") as client:
        for kind in kinds:
            with analysis(), telemetry.stage("ranking"):
                await asyncio.gather(
                    *(_read_async(kind, client, ending) for ending in ENDINGS), return_exceptions=True
                )


def _read(kind: Kind, client: OpenAI, ending: str) -> None:
    with ExitStack() as stack:
        answer = kind.make(client, f"{ending}\n{RESUME}", {})
        answer = stack.enter_context(answer) if kind.is_managed else answer
        answer = answer.parse() if kind.is_raw else answer
        if kind.is_streamed:
            for _ in answer:
                if ending == "left":
                    raise Unreadable(ATTACHED)


async def _read_async(kind: Kind, client: AsyncOpenAI, ending: str) -> None:
    async with AsyncExitStack() as stack:
        answer = kind.make(client, f"{ending}\n{RESUME}", {})
        answer = await (stack.enter_async_context(answer) if kind.is_managed else answer)
        if kind.is_raw:
            answer = answer.parse()
            answer = await answer if inspect.isawaitable(answer) else answer
        if kind.is_streamed:
            async for _ in answer:
                if ending == "left":
                    raise Unreadable(ATTACHED)


def fail_everywhere(client: OpenAI) -> None:
    """Raise an error in every place that telemetry observes."""
    failures: list[Callable[[], None]] = [
        lambda: fail_in(analysis()),
        lambda: fail_in(telemetry.stage("ranking")),
        lambda: fail_in(telemetry.document(FILE, size=1)),
        lambda: fail_in(trace.get_tracer("host").start_as_current_span("work")),
        lambda: fail_in(plain_stage()),
        lambda: parse(client),
        query,
        in_words,
    ]
    for fail in failures:
        try:
            with analysis():
                fail()
        except Exception as error:
            log.exception("%s of %s: %s", FILE, NAME, error, extra={"candidate": NAME, "phone": PHONE})


def fail_in(block: Any) -> None:
    with block:
        log.warning("about to fail: %s", EMAIL)
        raise Unreadable(f"{ATTACHED}: {FILE} {RESUME}")


@contextmanager
def plain_stage() -> Iterator[None]:
    """Open a span of the application with personal data in its attributes and events."""
    attributes = {Attribute.STAGE: "ranking", "enduser.id": EMAIL, "url.query": NAME, "file.name": FILE}
    with trace.get_tracer("host").start_as_current_span("plain", attributes=attributes) as span:
        span.add_event("gen_ai.user.message", {"content": RESUME})
        yield


def parse(client: OpenAI) -> None:
    """Parse answers that do not match, to requests that name a person."""
    messages: Any = [{"role": "user", "content": f"JSON, please\n{RESUME}"}]
    with suppress(ValueError):
        client.responses.parse(model=CHAT_MODEL, input=messages, text_format=Strict, user=EMAIL)
    client.chat.completions.parse(
        model=CHAT_MODEL, messages=messages, response_format=Strict, user=EMAIL, metadata={"candidate": NAME}
    )


def query() -> None:
    """Query a database with personal data in parameters and a literal in the statement."""
    engine = sa.create_engine("sqlite://")
    with engine.connect() as connection:
        connection.execute(sa.text(f"SELECT '{LITERAL}', :name"), {"name": NAME})
        connection.execute(sa.text(f"SELECT '{LITERAL}' FROM nowhere WHERE name = :name"), {"name": NAME})


def in_words() -> None:
    """Pass errors to telemetry as text instead of as exceptions."""
    with telemetry.document(FILE, type=f"for {NAME}") as document:
        document.fail(f"{ATTACHED} {FILE}")
    telemetry.record_fallback(f"{ATTACHED}: {RESUME}")
    telemetry.count(NAME)
    telemetry.fail_current_run(f"{ATTACHED} {EMAIL}")
    telemetry.start_run("intake", subject=("draft", 12)).fail(f"no text in {FILE}")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))
