"""A request that ends before any view still has its span, and nothing is logged."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import flask
import pytest
from flask_wtf.csrf import CSRFProtect  # type: ignore[import-untyped]
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import telemetry
from telemetry.settings import Settings
from telemetry.testing import recording


@pytest.fixture(scope="module")
def recorded_spans(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InMemorySpanExporter]:
    with recording(Settings(spool_dir=tmp_path_factory.mktemp("spool"))):
        provider = trace.get_tracer_provider()
        assert isinstance(provider, TracerProvider)
        exporter = InMemorySpanExporter()
        provider.add_span_processor(SimpleSpanProcessor(exporter))
        yield exporter


@pytest.fixture
def spans(recorded_spans: InMemorySpanExporter) -> InMemorySpanExporter:
    """The spans of this test's requests."""
    recorded_spans.clear()
    return recorded_spans


def refuse() -> None:
    flask.abort(403)


def csrf(app: flask.Flask) -> None:
    CSRFProtect(app)


def aborting(app: flask.Flask) -> None:
    app.before_request(refuse)


def answering(app: flask.Flask) -> None:
    app.before_request(lambda: flask.Response("early", 403))


def redirecting(app: flask.Flask) -> None:
    app.before_request(lambda: flask.redirect("/login"))


def raising(app: flask.Flask) -> None:
    def fail() -> None:
        raise ValueError("early")

    app.before_request(fail)


def handled(app: flask.Flask) -> None:
    aborting(app)
    app.register_error_handler(403, lambda _: ("handled", 418))


def in_a_blueprint(app: flask.Flask) -> None:
    blueprint = flask.Blueprint("guard", __name__)
    blueprint.before_app_request(refuse)
    app.register_blueprint(blueprint)


def before_the_hooks(app: flask.Flask) -> None:
    app.url_value_preprocessor(lambda *_: refuse())


def with_the_signal(app: flask.Flask) -> None:
    flask.request_started.connect(_refuse_by_signal, app)


def _refuse_by_signal(*_: object, **__: object) -> None:
    flask.abort(403)


@pytest.mark.parametrize("is_first", [True, False], ids=["before the extension", "after it"])
@pytest.mark.parametrize(
    "extension",
    [
        csrf,
        aborting,
        answering,
        redirecting,
        raising,
        handled,
        in_a_blueprint,
        before_the_hooks,
        with_the_signal,
    ],
)
def test_request_that_ends_early_has_its_span(
    extension: Callable[[flask.Flask], None],
    is_first: bool,
    spans: InMemorySpanExporter,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """It does not matter which extension is registered first."""
    app = flask.Flask("host")
    app.config["SECRET_KEY"] = "secret"
    if is_first:
        extension(app)
    telemetry.Telemetry(app, engine="sqlite:///nowhere.sqlite")
    if not is_first:
        extension(app)
    app.add_url_rule("/", view_func=lambda: "view", methods=["POST"])

    statuses = [app.test_client().post("/").status_code for _ in range(2)]

    assert statuses[0] >= 300
    assert statuses == statuses[:1] * 2
    assert [
        record.getMessage()
        for record in caplog.records
        if record.name.startswith("opentelemetry") and record.levelno >= logging.WARNING
    ] == []
    assert [span.name for span in spans.get_finished_spans()] == ["POST /", "POST /"]
