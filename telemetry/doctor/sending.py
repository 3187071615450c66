"""Where metrics and traces go: the Collector that takes them, and the Prometheus that keeps them."""

from __future__ import annotations

import base64
import json
import os
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from email.utils import parsedate_to_datetime
from importlib.metadata import entry_points
from typing import Any, Final
from urllib.parse import quote, unquote, urlsplit

from telemetry._internal.context import suppressed
from telemetry._internal.secrets import without_user
from telemetry.setup import process as setup

from .check import PATIENCE, Answer, Check, Clock, Patient, load

OURS: Final = 'count({__name__=~"analysis[._]runs.*|telemetry[._]internal[._]errors.*"})'
"""Series that every process of ours has from its start."""
DATE_PRECISION: Final = 1.5
"""A date in HTTP tells whole seconds."""


def ask_around(patient: Patient) -> Answer:
    """Ask everybody at once, so that all who do not answer take no longer than one of them."""
    yield from ()
    pool = ThreadPoolExecutor(2)
    with suppress(ImportError, LookupError):
        otlp = load("otlp")
        patient.asked["the Collector"] = pool.submit(lambda: list(otlp.ask(PATIENCE)))
    url = patient.settings.prometheus_url if patient.settings else ""
    if url:
        patient.asked["Prometheus"] = pool.submit(_query, url, OURS)
    pool.shutdown(wait=False)


def check_collector(patient: Patient) -> Answer:
    """Does a Collector take what is sent."""
    if "the Collector" not in patient.asked:
        if setup.pipeline() is not None:
            remedy = "pip install 'analysis-telemetry[sdk]'"
            yield Check("bad", "collector", "cannot be asked: nothing here speaks OTLP", remedy)
        return
    yield from _without_exporter(load("otlp"))
    answers = patient.asked["the Collector"].result()
    for answer in answers:
        if answer.date:
            patient.clocks += _clock("the Collector", answer.date, answer.asked_at)
        yield _verdict(answer)
        if not answer.is_taken:
            patient.unsent.add(answer.signal)
    if not answers:
        yield Check("note", "collector", "none: nothing is sent by OTLP (OTEL_EXPORTER_OTLP_ENDPOINT)")


def _without_exporter(otlp: Any) -> Answer:
    """Name the protocols that are asked for, and for which no exporter is installed."""
    for signal in otlp.SIGNALS:
        wanted = [*otlp.configured(signal), *otlp.wished(signal)]
        for name in dict.fromkeys(wanted):
            if not entry_points(group=f"opentelemetry_{signal}_exporter", name=name):
                package = f"opentelemetry-exporter-{name.replace('_', '-')}"
                remedy = f"pip install {package}"
                if name == "otlp_proto_grpc":
                    remedy += ", or OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf and port 4318"
                text = f"{signal} are to go by {name}, but {package} is not installed"
                yield Check("bad", "collector", text, remedy)


def _verdict(answer: Any) -> Check:
    what = f"{answer.signal} to {answer.address} ({answer.protocol})"
    if answer.is_taken:
        return Check("good", "collector", f"takes {what}, in {answer.seconds * 1000:.0f} ms")
    return Check("bad", "collector", f"does not take {what}: {answer.reason}", _remedy(answer))


def _remedy(answer: Any) -> str:
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
    """Does Prometheus answer, and does it know anything of ours."""
    url = patient.settings.prometheus_url if patient.settings else ""
    if not url:
        return
    shown, remedy = without_user(url), "start it, or correct TELEMETRY_PROMETHEUS_URL"
    try:
        date, at, answer = patient.asked["Prometheus"].result()
    except _Refused as error:
        yield Check("bad", "prometheus", f"{shown} {error}", remedy)
        return
    patient.clocks += _clock("Prometheus", date, at)
    found = answer["data"]["result"]
    if found:
        yield Check("good", "prometheus", f"{shown} answers, and keeps {found[0]['value'][1]} series of ours")
        return
    remedy = "let it scrape TELEMETRY_METRICS_PORT, or the Collector write to it"
    yield Check("note", "prometheus", f"{shown} answers, but knows no metric of ours", remedy)


class _Refused(Exception):
    """Prometheus does not answer, or not as it should; the text says how."""


def _query(url: str, query: str) -> tuple[str, float, dict[str, Any]]:
    """Return the date of an answer, when it came, and what it says.

    Raises:
        _Refused: when there is none.
    """
    try:
        with suppressed(), _opened(f"{url.rstrip('/')}/api/v1/query?query={quote(query)}") as response:
            at, date, body = time.time(), response.headers.get("Date", ""), response.read()
    except urllib.error.HTTPError as error:
        raise _Refused(f"answered {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        reason = getattr(error.reason, "strerror", None) or str(error.reason)
        raise _Refused(f"does not answer: {reason.lower()}") from None
    except OSError as error:
        raise _Refused(f"does not answer: {str(error.strerror or error).lower()}") from None
    try:
        answer = json.loads(body)
        if answer["status"] == "success" and isinstance(answer["data"]["result"], list):
            return date, at, answer
    except (ValueError, KeyError, TypeError):
        pass
    raise _Refused("is no Prometheus: it does not know /api/v1/query")


def _opened(url: str) -> Any:
    parts = urlsplit(url)
    user, _, host = parts.netloc.rpartition("@")
    request = urllib.request.Request(parts._replace(netloc=host).geturl())
    if user:
        request.add_header("Authorization", "Basic " + base64.b64encode(unquote(user).encode()).decode())
    return urllib.request.urlopen(request, timeout=PATIENCE)


def _clock(name: str, date: str, at: float) -> Iterator[Clock]:
    try:
        theirs = parsedate_to_datetime(date).timestamp()
    except ValueError:
        return
    yield Clock(name, theirs + 0.5 - at, DATE_PRECISION)
