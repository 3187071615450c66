"""Check the Collector that receives metrics and traces, and the Prometheus that stores metrics."""

from __future__ import annotations

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import parsedate_to_datetime
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Final

from telemetry._internal.urls.secrets import without_user
from telemetry.setup import process as setup

from .check import TIMEOUT_SECONDS, Answer, Check, Clock, Patient
from .probes import prometheus

if TYPE_CHECKING:
    from .probes.collector import Export

DATE_PRECISION: Final = 1.5
"""Error of a date in HTTP, which has whole seconds."""


def query_servers(patient: Patient) -> Answer:
    """Query all servers at the same time, so that the timeouts do not add up."""
    yield from ()
    pool = ThreadPoolExecutor(2)
    with suppress(ImportError):
        from .probes import collector

        patient.exports = pool.submit(lambda: list(collector.ask(TIMEOUT_SECONDS)))
    url = patient.settings.prometheus_url if patient.settings else ""
    if url:
        patient.series = pool.submit(prometheus.ask, url, TIMEOUT_SECONDS)
    pool.shutdown(wait=False)


def check_collector(patient: Patient) -> Answer:
    """Check that a Collector accepts what is sent."""
    if patient.exports is None:
        if setup.pipeline() is not None:
            remedy = "pip install 'analysis-telemetry[sdk]'"
            yield Check("bad", "collector", "cannot be queried: no OTLP exporter is installed", remedy)
        return
    yield from _without_exporter()
    answers = patient.exports.result()
    for answer in answers:
        if answer.date:
            patient.clocks += _clock("the Collector", answer.date, answer.asked_at)
        yield _verdict(answer)
        if not answer.is_taken:
            patient.unsent.add(answer.signal)
    if not answers:
        yield Check("note", "collector", "none: nothing is sent by OTLP (OTEL_EXPORTER_OTLP_ENDPOINT)")


def _without_exporter() -> Answer:
    """Yield the configured protocols for which no exporter is installed."""
    from .probes import collector

    for signal in collector.SIGNALS:
        wanted = [*collector.configured(signal), *collector.chosen(signal)]
        for name in dict.fromkeys(wanted):
            if not entry_points(group=f"opentelemetry_{signal}_exporter", name=name):
                package = f"opentelemetry-exporter-{name.replace('_', '-')}"
                remedy = f"pip install {package}"
                if name == "otlp_proto_grpc":
                    remedy += ", or OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf and port 4318"
                text = f"{signal} are to be sent by {name}, but {package} is not installed"
                yield Check("bad", "collector", text, remedy)


def _verdict(answer: Export) -> Check:
    what = f"{answer.signal} to {answer.address} ({answer.protocol})"
    if answer.is_taken:
        return Check("good", "collector", f"takes {what}, in {answer.seconds * 1000:.0f} ms")
    return Check("bad", "collector", f"does not take {what}: {answer.reason}", _remedy(answer))


def _remedy(answer: Export) -> str:
    endpoint = f"OTEL_EXPORTER_OTLP_{answer.signal.upper()}_ENDPOINT"
    if not os.environ.get(endpoint):
        endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
    if answer.status in (401, 403):
        return "correct OTEL_EXPORTER_OTLP_HEADERS"
    if answer.status == 404:
        base = "is the address alone, without /v1/" + answer.signal
        whole = f"is the whole address, /v1/{answer.signal} included"
        return f"{endpoint} {base if endpoint == 'OTEL_EXPORTER_OTLP_ENDPOINT' else whole}"
    if answer.protocol == "http/protobuf" and ("reset" in answer.reason or ":4317/" in answer.address):
        return f"{endpoint} needs the port of HTTP, 4318: this looks like that of gRPC, 4317"
    return f"start the Collector, or correct {endpoint}"


def check_prometheus(patient: Patient) -> Answer:
    """Check that Prometheus answers, and has metrics of telemetry."""
    if patient.settings is None or patient.series is None:
        return
    shown, remedy = (
        without_user(patient.settings.prometheus_url),
        "start it, or correct TELEMETRY_PROMETHEUS_URL",
    )
    try:
        series = patient.series.result()
    except prometheus.Refused as error:
        yield Check("bad", "prometheus", f"{shown} {error}", remedy)
        return
    patient.clocks += _clock("Prometheus", series.date, series.at)
    if series.count:
        yield Check("good", "prometheus", f"{shown} answers, and has {series.count} series of telemetry")
        return
    remedy = "let it scrape TELEMETRY_METRICS_PORT, or the Collector write to it"
    yield Check("note", "prometheus", f"{shown} answers, but has no metric of telemetry", remedy)


def _clock(name: str, date: str, at: float) -> Iterator[Clock]:
    try:
        server_time = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return
    yield Clock(name, server_time + 0.5 - at, DATE_PRECISION)
