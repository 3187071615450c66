"""Check whether a Collector accepts what this process would send, with an empty OTLP export.

The exporter of each signal is created as the SDK creates it, so that address, headers, certificates and
compression are those of the application.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import EntryPoint, entry_points
from typing import Any, Final

import requests
from opentelemetry.sdk.metrics.export import MetricsData

from telemetry._internal.context import suppressed
from telemetry._internal.urls.secrets import driver_message, without_user

SIGNALS: Final = ("traces", "metrics", "logs")
_NOTHING: Final[dict[str, Any]] = {"traces": [], "metrics": MetricsData([]), "logs": []}
_CREDENTIALS: Final = "OTEL_PYTHON_EXPORTER_OTLP_HTTP"
_PROTOCOLS: Final = {"otlp_proto_http": "http/protobuf", "otlp_proto_grpc": "grpc"}


@dataclass(slots=True)
class Export:
    """The outcome of an export."""

    signal: str
    protocol: str
    address: str
    """Without a password."""
    is_taken: bool = False
    reason: str = ""
    """Why it was not accepted."""
    status: int | None = None
    """HTTP status; None without an answer, and with gRPC."""
    date: str = ""
    """Time of the answer by the clock of the server: a header of HTTP."""
    asked_at: float = 0.0
    """Time of the answer by the clock of this machine, in epoch seconds."""
    seconds: float = 0.0


def ask(seconds: float) -> Iterator[Export]:
    """Make an empty export of each signal that is sent by OTLP, concurrently, and yield the outcomes.

    Args:
        seconds: timeout of each.
    """
    pairs = [(signal, entry) for signal in SIGNALS for entry in exporters_of(signal)]
    if pairs:
        with ThreadPoolExecutor(len(pairs)) as pool:
            yield from pool.map(lambda pair: _ask(pair[0], pair[1], seconds), pairs)


def exporters_of(signal: str) -> Iterator[EntryPoint]:
    """Yield the installed OTLP exporters that are named in `OTEL_…_EXPORTER`."""
    for name in configured(signal):
        yield from entry_points(group=f"opentelemetry_{signal}_exporter", name=name)


def configured(signal: str) -> Iterator[str]:
    """Yield the entry point names of the OTLP exporters in `OTEL_…_EXPORTER`, with their protocol."""
    for name in os.environ.get(f"OTEL_{signal.upper()}_EXPORTER", "").replace(" ", "").split(","):
        if name == "otlp":
            yield "otlp_proto_http" if _protocol(signal).startswith("http") else "otlp_proto_grpc"
        elif name in _PROTOCOLS:
            yield name


def chosen(signal: str) -> Iterator[str]:
    """Yield the exporter of the chosen protocol, if the configuration of the SDK ignores it."""
    if any(configured(signal)) and _protocol(signal) == "grpc":
        yield "otlp_proto_grpc"


def _protocol(signal: str) -> str:
    own = os.environ.get(f"OTEL_EXPORTER_OTLP_{signal.upper()}_PROTOCOL")
    return (own or os.environ.get("OTEL_EXPORTER_OTLP_PROTOCOL", "")).strip()


class _Session(requests.Session):
    """Keeps the last answer or exception, and stops the exporter from retrying."""

    def __init__(self) -> None:
        super().__init__()
        self.give_up: Callable[[], None] = self.close
        self.answer: requests.Response | None = None
        self.error: Exception | None = None
        self.at = 0.0

    def send(self, request: requests.PreparedRequest, **options: Any) -> requests.Response:
        self.answer, self.error = None, None
        try:
            self.answer = super().send(request, **options)
        except Exception as error:
            self.error = error
            self.give_up()
            raise
        finally:
            self.at = time.time()
        return self.answer


def _ask(signal: str, entry: EntryPoint, seconds: float) -> Export:
    answer = Export(signal, _PROTOCOLS[entry.name], "")
    session = _Session() if entry.name == "otlp_proto_http" and not _has_credentials(signal) else None
    started = time.monotonic()
    try:
        with suppressed():
            exporter = entry.load()(timeout=seconds, **({} if session is None else {"session": session}))
            if session is not None:
                session.give_up = exporter.shutdown
            answer.address = without_user(str(getattr(exporter, "_endpoint", "")))
            result = exporter.export(_NOTHING[signal])
            exporter.shutdown()
    except Exception as error:  # anything that creating an exporter, or exporting, raises
        answer.reason = f"{type(error).__name__}: {driver_message(error)}"
    else:
        answer.is_taken = result.name == "SUCCESS"
        answer.reason = "" if answer.is_taken else "no answer"
    answer.seconds = time.monotonic() - started
    if session is not None:
        _judge(answer, session)
    return answer


def _has_credentials(signal: str) -> bool:
    """Return whether a credential provider gives the exporter a session of its own, which must be used."""
    names = (f"{_CREDENTIALS}_CREDENTIAL_PROVIDER", f"{_CREDENTIALS}_{signal.upper()}_CREDENTIAL_PROVIDER")
    return any(os.environ.get(name) for name in names)


def _judge(answer: Export, session: _Session) -> None:
    """Add what the exporter does not report; it accepts any answer with a status below 400."""
    if session.error is not None:
        answer.reason = _short(session.error)
    response = session.answer
    if response is None:
        return
    answer.status, answer.date, answer.asked_at = (
        response.status_code,
        response.headers.get("Date", ""),
        session.at,
    )
    if response.status_code >= 300:
        answer.is_taken, answer.reason = False, f"answered {response.status_code} {response.reason}".strip()
    elif response.headers.get("Content-Type", "").startswith("text/html"):
        answer.is_taken, answer.reason = False, "answered with a web page: that is no Collector"


def _short(error: BaseException) -> str:
    """Return the message of the innermost exception: requests wraps those of the system in several others."""
    if isinstance(error, requests.Timeout):
        return "no answer in time"
    while (inner := _inner(error)) is not None:
        error = inner
    text = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return text.splitlines()[0].lower() if isinstance(error, OSError) else text.splitlines()[0]


def _inner(error: BaseException) -> BaseException | None:
    wrapped = getattr(error, "reason", None) or (error.args[0] if error.args else None)
    for candidate in (wrapped, error.__cause__, error.__context__):
        if isinstance(candidate, BaseException):
            return candidate
    return None
