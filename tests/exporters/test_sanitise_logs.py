"""Exported log records say where, when and how severe, but have no text unless that is allowed."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.sdk._logs import LoggerProvider, LoggingHandler, ReadableLogRecord
from opentelemetry.sdk._logs.export import InMemoryLogRecordExporter, SimpleLogRecordProcessor
from opentelemetry.sdk.trace import TracerProvider

from exporters.privacy.exporters import SanitisingExporter

SECRET = "Zanzibar"
EVENT = "gen_ai.client.inference.operation.details"


class Logs:
    """A provider that exports every record twice: as it is, and sanitised."""

    def __init__(self, **allowed: bool) -> None:
        self.clean = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self.plain = InMemoryLogRecordExporter()  # type: ignore[no-untyped-call]
        self.provider = LoggerProvider(shutdown_on_exit=False)
        clean = SanitisingExporter.for_logs(self.clean, **allowed)
        self.provider.add_log_record_processor(SimpleLogRecordProcessor(clean))
        self.provider.add_log_record_processor(SimpleLogRecordProcessor(self.plain))

    @contextmanager
    def logger(self) -> Iterator[logging.Logger]:
        """A logger of the application whose records are exported."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            handler = LoggingHandler(logger_provider=self.provider)
        logger = logging.getLogger("tests.host")
        logger.addHandler(handler)
        try:
            yield logger
        finally:
            logger.removeHandler(handler)

    def emit(self, **record: Any) -> None:
        """Emit a record as an instrumentation does."""
        self.provider.get_logger("an instrumentation").emit(LogRecord(**record))

    def one(self) -> tuple[ReadableLogRecord, ReadableLogRecord]:
        (plain,), (clean,) = self.plain.get_finished_logs(), self.clean.get_finished_logs()
        return plain, clean


def fail(logs: Logs) -> None:
    with logs.logger() as logger, TracerProvider().get_tracer("host").start_as_current_span("work"):
        try:
            raise ValueError(f"{SECRET} could not be read")
        except ValueError:
            logger.exception("%s failed", SECRET, extra={"file": SECRET, "candidate": SECRET})


def test_text_of_records_is_not_exported() -> None:
    """Level, logger, code location, type of exception and trace are."""
    logs = Logs()
    fail(logs)
    plain, clean = logs.one()
    before, after = plain.log_record, clean.log_record

    assert plain.to_json().count(SECRET) >= 4
    assert SECRET not in clean.to_json()
    assert after.body is None
    assert set(after.attributes or {}) == {
        "code.file.path",
        "code.function.name",
        "code.line.number",
        "exception.type",
    }
    assert (after.severity_number, after.timestamp) == (SeverityNumber.ERROR, before.timestamp)
    assert (after.trace_id, after.span_id) == (before.trace_id, before.span_id)
    assert clean.resource == plain.resource
    assert clean.instrumentation_scope == plain.instrumentation_scope


def test_text_of_records_can_be_allowed() -> None:
    """Messages of exceptions need a permission of their own in addition."""
    logs = Logs(log_messages=True)
    fail(logs)
    _, clean = logs.one()
    attributes = dict(clean.log_record.attributes or {})

    assert clean.log_record.body == f"{SECRET} failed"
    assert attributes["candidate"] == SECRET
    assert "exception.message" not in attributes

    logs = Logs(log_messages=True, exception_messages=True)
    fail(logs)
    _, clean = logs.one()

    assert SECRET in str((clean.log_record.attributes or {})["exception.message"])


def test_an_attached_exception_is_not_exported() -> None:
    """A record may carry its exception as an object, of which only the type is exported."""
    logs = Logs()
    logs.emit(body=SECRET, exception=ValueError(SECRET))
    plain, clean = logs.one()

    assert SECRET in plain.to_json()
    assert SECRET not in clean.to_json()
    assert clean.log_record.exception is None
    assert dict(clean.log_record.attributes or {}) == {"exception.type": "ValueError"}


@pytest.mark.parametrize(("allowed", "is_exported"), [("message_content", True), ("log_messages", False)])
def test_events_about_messages_are_content(allowed: str, is_exported: bool) -> None:
    """Events of a GenAI instrumentation need the permission for message content, not that for log texts."""
    logs = Logs(**{allowed: True})
    attributes = {"gen_ai.input.messages": SECRET, "gen_ai.usage.input_tokens": 3}
    logs.emit(event_name=EVENT, body={"content": SECRET}, attributes=attributes)
    plain, clean = logs.one()

    assert (clean.log_record.body == plain.log_record.body) is is_exported
    assert (SECRET in clean.to_json()) is is_exported
    assert (clean.log_record.attributes or {})["gen_ai.usage.input_tokens"] == 3


def test_the_record_itself_is_not_changed() -> None:
    """Other processors see the original record."""
    logs = Logs()
    fail(logs)
    plain, _ = logs.one()

    assert plain.log_record.body == f"{SECRET} failed"
    assert (plain.log_record.attributes or {})["candidate"] == SECRET


def test_shutdown_and_flush_reach_the_exporter() -> None:
    """The wrapped exporter is flushed and shut down with its wrapper."""
    logs = Logs()
    assert logs.provider.force_flush()
    logs.provider.shutdown()
    logs.emit(body="after")

    assert logs.clean.get_finished_logs() == ()
