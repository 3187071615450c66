"""Gauges of the host's own numbers: jobs that wait, and the heartbeat of its workers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta, timezone
from functools import partial
from pathlib import Path
from typing import Any

import flask
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider

from exporters.process.pipeline import Pipeline
from telemetry import conventions as c
from telemetry.conventions import gauges
from telemetry.settings import Settings
from telemetry.testing import recording
from telemetry.web.extension import Telemetry
from tests.exporters.makers import Host
from tests.waiting import until

WAITING, HEARTBEAT = gauges.JOBS_WAITING, gauges.WORKER_HEARTBEAT


class Process:
    """A process of an application, and what a reader collects from it."""

    def __init__(self, pipeline: Pipeline, reader: InMemoryMetricReader) -> None:
        self.pipeline = pipeline
        self._reader = reader

    def value(self, metric: c.Metric) -> float | None:
        data: Any = self._reader.get_metrics_data()
        values = [
            point.value
            for resource in (data.resource_metrics if data else ())
            for scope in resource.scope_metrics
            for collected in scope.metrics
            if collected.name == metric.name
            for point in collected.data.data_points
        ]
        return values[0] if values else None


@contextmanager
def process(url: str, folder: Path, seconds: float = 1) -> Iterator[Process]:
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    settings = Settings(database_url=url, spool_dir=folder, hmac_key="k", gauges_seconds=seconds)
    with recording(settings, TracerProvider(shutdown_on_exit=False), meter_provider=meters) as pipeline:
        yield Process(pipeline, reader)
    meters.shutdown()


def test_what_the_callables_return_is_exported(host: Host, tmp_path: Path) -> None:
    """The number as it is, and the time as an age, whatever its zone; a time to come is now."""
    now = datetime.now(UTC)
    moments: list[tuple[datetime, int]] = [
        ((now - timedelta(minutes=5)).replace(tzinfo=None), 300),
        ((now - timedelta(minutes=10)).astimezone(timezone(timedelta(hours=5))), 600),
        (now + timedelta(hours=1), 0),
    ]
    for moment, age in moments:
        with process(host.url, tmp_path, seconds=600) as one:
            one.pipeline.watch_host(lambda: 7, lambda moment=moment: moment)  # type: ignore[misc]
            until(lambda: None not in (one.value(WAITING), one.value(HEARTBEAT)))
            assert one.value(WAITING) == 7
            assert age <= (one.value(HEARTBEAT) or 0) < age + 600


@pytest.mark.parametrize("database", ["", "host"])
def test_a_failing_callable_has_no_value_and_one_warning(
    database: str, sqlite_host: Host, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Its text is not logged, since it may hold anything. Once it works again, it has a value again."""
    failing, calls = threading.Event(), list[int]()
    failing.set()

    def waiting() -> int:
        calls.append(1)
        if failing.is_set():
            raise RuntimeError("Ada Lovelace")
        return 3

    with process(sqlite_host.url if database else "", tmp_path) as one:
        one.pipeline.watch_host(waiting, lambda: datetime.now(UTC))
        until(lambda: len(calls) > 2 and one.value(HEARTBEAT) is not None)
        assert one.value(WAITING) is None
        failing.clear()
        until(lambda: one.value(WAITING) == 3)
        failing.set()
        until(lambda: one.value(WAITING) is None)
    assert caplog.text.count("telemetry: jobs_waiting= raised RuntimeError;") == 2
    assert "Lovelace" not in caplog.text


@pytest.mark.parametrize("returned", ["three", 2.5, -1, True, object()])
def test_what_is_no_number_is_no_value(
    returned: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning says what is wrong."""
    with process("", tmp_path) as one:
        one.pipeline.watch_host(lambda: returned, lambda: returned)
        until(lambda: one.value(WAITING) is None and caplog.text.count("has no value until it works") == 2)
        assert one.value(HEARTBEAT) is None
    assert "jobs_waiting= returned" in caplog.text and "not a whole number from 0, or None" in caplog.text
    assert "worker_heartbeat= returned" in caplog.text and "not a datetime, or None" in caplog.text


def test_none_is_not_known(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """No value and no warning: the host does not know."""
    called = threading.Event()

    def waiting() -> None:
        called.set()

    with process("", tmp_path) as one:
        one.pipeline.watch_host(waiting)
        assert one.value(WAITING) is None and called.wait(60)
        assert one.value(WAITING) is None
    assert "jobs_waiting" not in caplog.text


def is_known(gauge: c.Metric, *processes: Process) -> bool:
    """Return whether one of the processes exports a value."""
    return any(one.value(gauge) is not None for one in processes)


def test_one_that_hangs_does_not_stop_the_others(host: Host, tmp_path: Path) -> None:
    """Its value disappears and its lease passes on; SQL's gauges, the other callable and the end go on."""
    hanging, released = threading.Event(), threading.Event()

    def waiting() -> int:
        if hanging.is_set():
            released.wait(60)
        return 1

    with process(host.url, tmp_path / "1") as one, process(host.url, tmp_path / "2") as other:
        one.pipeline.watch_host(waiting, lambda: datetime.now(UTC))
        until(lambda: one.value(WAITING) == 1)
        other.pipeline.watch_host(lambda: 2)
        hanging.set()
        until(lambda: other.value(WAITING) == 2)
        assert one.value(WAITING) is None
        until(lambda: one.value(HEARTBEAT) is not None)
        for gauge in (gauges.OVER_LIMIT_7D, gauges.YESTERDAY_JOBS):
            until(partial(is_known, gauge, one, other))
        began = datetime.now(UTC)
        one.pipeline.shutdown(1)
        assert (datetime.now(UTC) - began).total_seconds() < 30
        released.set()


def test_a_process_without_callables_leaves_them_to_others(host: Host, tmp_path: Path) -> None:
    """A worker that exports SQL's gauges does not keep those of the web process from being exported."""
    with process(host.url, tmp_path / "1", 600) as worker:
        until(lambda: worker.value(gauges.GAUGES_EXPORTER) == 1)
        with process(host.url, tmp_path / "2", 600) as web:
            web.pipeline.watch_host(lambda: 5)
            until(lambda: web.value(WAITING) == 5)
            assert worker.value(WAITING) is None


def test_callables_of_an_application_run_in_its_context(
    sqlite_host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So they may use its extensions and its configuration; the context ends after each call."""
    monkeypatch.setenv("TELEMETRY_SPOOL_DIR", str(tmp_path))
    app = flask.Flask("host")
    app.config["WAITING"] = 9
    ended: list[object] = []
    app.teardown_appcontext(ended.append)
    with process("", tmp_path, 600) as one:
        Telemetry(app, engine=sqlite_host.url, jobs_waiting=lambda: int(flask.current_app.config["WAITING"]))
        until(lambda: one.value(WAITING) == 9)
        until(lambda: bool(ended))


@pytest.mark.parametrize("option", ["jobs_waiting", "worker_heartbeat"])
def test_what_cannot_be_called_is_refused(option: str) -> None:
    """The error names the option, where the application is made."""
    given: dict[str, Callable[[], Any]] = {option: 5}  # type: ignore[dict-item]
    with pytest.raises(TypeError, match=f"{option}= takes a callable, not a int"):
        Telemetry(**given)  # type: ignore[arg-type]
