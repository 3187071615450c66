"""Requests: an open run does not leak into the next request, and a streamed response keeps its run."""

from __future__ import annotations

from collections.abc import Iterator

import flask
import pytest
from openai import OpenAI
from opentelemetry.instrumentation.flask import FlaskInstrumentor

import telemetry
from examples.screener.standin.client import StandIn
from tests.attribution.owners import ask, assert_calls_match_ledger
from tests.telemetry.recordings import Recorded


@pytest.fixture
def app(recorded: Recorded, client: OpenAI) -> Iterator[flask.Flask]:
    """An application with views that leave a run open, and one that streams its response."""
    app = flask.Flask("host")
    kept = []

    @app.get("/leave_open")
    def leave_open() -> str:
        kept.append(telemetry.start_run("intake", subject="ada"))
        ask(client, "ada")
        return ""

    @app.get("/ask")
    def ask_only() -> str:
        ask(client)
        return ""

    @app.get("/stream")
    def stream() -> flask.Response:
        def pieces() -> Iterator[str]:
            ask(client)
            with telemetry.run("intake", subject="bob"), telemetry.stage("ranking"):
                for number in range(2):
                    ask(client, "bob", "ranking")
                    yield str(number)

        return flask.Response(pieces())

    @app.get("/finish")
    def finish() -> str:
        for run in kept:
            run.finish()
        return ""

    FlaskInstrumentor().instrument_app(app, tracer_provider=recorded.provider)  # type: ignore[no-untyped-call]
    yield app
    FlaskInstrumentor().uninstrument_app(app)  # type: ignore[no-untyped-call]


def test_open_run_does_not_leak_into_the_next_request(
    recorded: Recorded, app: flask.Flask, ledger: StandIn
) -> None:
    """Although the same thread handles it, the next request belongs to no run."""
    browser = app.test_client()
    for path in ("/leave_open", "/ask", "/stream", "/ask", "/leave_open", "/ask", "/finish", "/ask"):
        assert browser.get(path).status_code == 200

    assert_calls_match_ledger(recorded, ledger)
