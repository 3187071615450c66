"""A pipeline for each test, from the API to a database, and clients of the stand-in."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI, OpenAI
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.instrumentation.threading import ThreadingInstrumentor
from opentelemetry.sdk.trace import TracerProvider

from examples.screener.standin.client import StandIn
from exporters.sql.schema import migrate
from telemetry.openai import calls as attempts
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.telemetry.recordings import Recorded

Record = Callable[..., Recorded]


@pytest.fixture(scope="session")
def migrated_sqlite(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("template") / "host.sqlite"
    migrate.upgrade(f"sqlite:///{path}", with_base_tables=True)
    return path


@pytest.fixture
def record(migrated_sqlite: Path, tmp_path: Path) -> Iterator[Record]:
    """A function that starts a recording with a provider and settings; a test calls it once."""
    with ExitStack() as stack:

        def start(provider: TracerProvider | None = None, **settings: Any) -> Recorded:
            path = tmp_path / "host.sqlite"
            shutil.copy(migrated_sqlite, path)
            provider = provider or TracerProvider(shutdown_on_exit=False)
            chosen = {"database_url": f"sqlite:///{path}", "spool_dir": tmp_path / "spool", "hmac_key": "k"}
            pipeline = stack.enter_context(recording(Settings(**{**chosen, **settings}), provider))
            _instrument(provider, stack)
            return Recorded(pipeline, provider, path)

        yield start


@pytest.fixture
def recorded(record: Record) -> Recorded:
    """A recording with the default settings, which has started."""
    return record()


def _instrument(provider: TracerProvider, stack: ExitStack) -> None:
    uninstrument()  # an earlier test may have set telemetry up as an application does
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    attempts.instrument(provider)
    ThreadingInstrumentor().instrument()
    stack.callback(uninstrument)


def uninstrument() -> None:
    """Undo what instruments OpenAI and threads, whichever test has left it."""
    attempts.uninstrument()
    for instrumentor in (OpenAIInstrumentor(), ThreadingInstrumentor()):
        if instrumentor.is_instrumented_by_opentelemetry:
            instrumentor.uninstrument()


@pytest.fixture(scope="session")
def service() -> Iterator[StandIn]:
    """One stand-in for all tests that make calls."""
    with StandIn() as standin:
        yield standin


@pytest.fixture
def ledger(service: StandIn) -> StandIn:
    """The stand-in, without faults and with an empty ledger."""
    service.reset_faults()
    service.clear()
    return service


@pytest.fixture
def client(ledger: StandIn) -> Iterator[OpenAI]:
    with OpenAI(base_url=ledger.url, api_key="any") as client:
        yield client


@pytest.fixture
def async_client(ledger: StandIn) -> AsyncOpenAI:
    """An asynchronous client, which a test closes in the event loop that used it."""
    return AsyncOpenAI(base_url=ledger.url, api_key="any")
