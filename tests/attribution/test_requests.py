"""Requests: a run that one leaves open is not the next one's, and an answer may be written after the view."""

from __future__ import annotations

from collections.abc import Iterator

import flask
import pytest
from openai import OpenAI
from opentelemetry.instrumentation.flask import FlaskInstrumentor

import telemetry
from examples.screener.standin.client import StandIn
from tests.attribution.owners import ask, assert_all_have_their_own
from tests.telemetry.recordings import Recorded


@pytest.fixture
def app(recorded: Recorded, client: OpenAI) -> Iterator[flask.Flask]:
    """An application that leaves runs open, and one that writes its answer piece by piece."""
    app = flask.Flask("host")
    kept = []

    @app.get("/forget")
    def forget() -> str:
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


def test_requests_in_the_same_thread(recorded: Recorded, app: flask.Flask, ledger: StandIn) -> None:
    """What a request leaves open, it keeps: the next request in its thread belongs to no run."""
    browser = app.test_client()
    for path in ("/forget", "/ask", "/stream", "/ask", "/forget", "/ask", "/finish", "/ask"):
        assert browser.get(path).status_code == 200

    assert_all_have_their_own(recorded, ledger)
