"""A wrong argument is ignored, and logged in one line with its name, its type and what was expected."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

import pytest

import telemetry
from exporters.sql.schema import tables
from telemetry._internal.guard import internal_errors
from telemetry.api import arguments
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.telemetry.recordings import Recorded

api: Any = telemetry
"""The API as untyped code calls it."""
NUMBER = "a whole number of at most 64 bits"
SUBJECT = 'a text, or a pair such as ("draft", 12), none of it empty'
ERROR = "an exception, or a word for its type; it counts as error"
CARRIER = "the result of RunHandle.carrier(), a mapping of texts"
PAIR = "a pair of whole numbers (bytes, characters)"


@pytest.fixture(autouse=True)
def as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments, "_logged", set())


def started(**facts: Any) -> Callable[[], object]:
    return lambda: api.start_run("intake", **facts).finish()


def in_run(act: Callable[[Any], object]) -> Callable[[], None]:
    def work() -> None:
        with telemetry.run("analysis", user_id=1, candidates=1) as run:
            act(run)

    return work


def in_document(act: Callable[[Any], object], **facts: Any) -> Callable[[], None]:
    def work() -> None:
        with telemetry.run("analysis", user_id=1, candidates=1), telemetry.document("a", **facts) as document:
            act(document)

    return work


class Undecided:
    """A value without a truth, as an array of several has none."""

    def __bool__(self) -> bool:
        raise ValueError("which of them?")


UNDECIDED = f"{Undecided.__module__}.Undecided"


class Ada(Exception):
    """An error, of which the class will do."""


def nothing(_: object) -> None:
    return


TABLE: list[tuple[Callable[[], object], str, str, str]] = [
    (started(user_id="ada"), "user_id", "str", NUMBER),
    (started(user_id=uuid4()), "user_id", "uuid.UUID", NUMBER),
    (started(user_id=1.5), "user_id", "float", NUMBER),
    (started(user_id=2**70), "user_id", "int", NUMBER),
    (started(analysis_id=object()), "analysis_id", "object", NUMBER),
    (started(candidates=[1, 2]), "candidates", "list", NUMBER),
    (started(criteria="four"), "criteria", "str", NUMBER),
    (started(subject=("x", None)), "subject", "tuple", SUBJECT),
    (started(subject=()), "subject", "tuple", SUBJECT),
    (started(subject=("x", "")), "subject", "tuple", SUBJECT),
    (started(subject={"x": 1}), "subject", "dict", SUBJECT),
    (started(enqueued_at="yesterday"), "enqueued_at", "str", "a datetime"),
    (started(enqueued_at=1.7e9), "enqueued_at", "float", "a datetime"),
    (started(jd=5), "jd", "int", PAIR),
    (started(jd="ab"), "jd", "str", PAIR),
    (started(jd=(1, 2, 3)), "jd", "tuple", PAIR),
    (started(jd=(1, "long")), "jd[1]", "str", NUMBER),
    (started(jd_type=("application/pdf", None)), "jd_type", "tuple", "a text such as pdf or application/pdf"),
    (in_run(lambda run: run.link(object())), "analysis_id", "object", NUMBER),
    (in_run(lambda run: run.link("a5")), "analysis_id", "str", NUMBER),
    (in_run(lambda run: run.link(None)), "analysis_id", "NoneType", NUMBER),
    (in_run(lambda run: run.fail(5)), "error", "int", ERROR),
    (in_run(lambda run: api.fail_current_run(None)), "error", "NoneType", ERROR),
    (in_run(lambda run: api.record_fallback({"error": "Ada"})), "error", "dict", ERROR),
    (in_run(lambda run: api.record_fallback(object)), "error", "type", ERROR),
    (in_run(lambda run: run.describe(candidates="x")), "candidates", "str", NUMBER),
    (in_run(lambda run: run.describe(criteria=[])), "criteria", "list", NUMBER),
    (in_run(lambda run: run.describe(jd=1)), "jd", "int", PAIR),
    (in_run(lambda run: run.describe(jd_type=1)), "jd_type", "int", "a text such as pdf or application/pdf"),
    (in_run(lambda run: api.stage(object()).__enter__()), "stage", "object", "a text"),
    (in_run(lambda run: api.count("app_retries", "x")), "amount", "str", NUMBER),
    (in_run(lambda run: api.count("app_retries", None)), "amount", "NoneType", NUMBER),
    (in_run(lambda run: api.count(object())), "name", "object", "a text"),
    (in_run(lambda run: api.warn("batch_too_large", user_id="x")), "user_id", "str", NUMBER),
    (in_run(lambda run: api.warn("batch_too_large", analysis_id=())), "analysis_id", "tuple", NUMBER),
    (
        in_run(lambda run: api.warn("batch_too_large", document_count="x")),
        "document_count",
        "str",
        NUMBER,
    ),
    (
        in_run(lambda run: api.warn("batch_too_large", document_size="x")),
        "document_size",
        "str",
        NUMBER,
    ),
    (in_run(lambda run: api.warn("batch_too_large", limit="x")), "limit", "str", NUMBER),
    (in_run(lambda run: api.warn("batch_too_large", subject=("x", None))), "subject", "tuple", SUBJECT),
    (in_run(lambda run: api.warn(object())), "warning_type", "object", "a text"),
    (in_run(lambda run: api.warn("batch_too_large", action=[])), "action", "list", "one of "),
    (lambda: api.answer_warnings((), "continued"), "subject", "tuple", SUBJECT),
    (lambda: api.answer_warnings(None, "continued"), "subject", "NoneType", SUBJECT),
    (lambda: api.answer_warnings("x:1", None), "action", "NoneType", "one of continued, abandoned"),
    (lambda: api.answer_warnings("x:1", "maybe"), "action", "str", "one of continued, abandoned"),
    (lambda: api.answer_warnings("x:1", "continued", user_id="u"), "user_id", "str", NUMBER),
    (lambda: api.answer_warnings("x:1", "continued", warning_type=5), "warning_type", "int", "a text"),
    (lambda: api.resume("a" * 32), "carrier", "str", CARRIER),
    (lambda: api.resume([("run_id", "a" * 32)]), "carrier", "list", CARRIER),
    (lambda: api.resume({"run_id": 5}), "carrier['run_id']", "int", "a text"),
    (
        lambda: api.resume({"run_id": "a" * 32, "kind": "late", "traceparent": b"x"}).finish(),
        "carrier['traceparent']",
        "bytes",
        "a text",
    ),
    (in_run(lambda run: api.document(None)), "key", "NoneType", "what identifies the document"),
    (in_document(nothing, size="x"), "size", "str", NUMBER),
    (in_document(nothing, characters=()), "characters", "tuple", NUMBER),
    (in_document(nothing, type=5), "type", "int", "a text such as pdf or application/pdf"),
    (in_document(nothing, chunks="x"), "chunks", "str", NUMBER),
    (in_document(nothing, row_id=UUID(int=5)), "row_id", "uuid.UUID", NUMBER),
    (in_document(lambda document: document.describe(size="x")), "size", "str", NUMBER),
    (in_document(lambda document: document.fail(5)), "error", "int", ERROR),
    (
        in_document(lambda document: document.fail("x", again=Undecided())),
        "again",
        UNDECIDED,
        "True or False",
    ),
    (
        in_document(lambda document: document.score(1, fallback=Undecided())),
        "fallback",
        UNDECIDED,
        "True or False",
    ),
    (in_document(lambda document: document.score("good")), "score", "str", "a number"),
    (in_document(lambda document: document.score(None)), "score", "NoneType", "a number"),
    (in_document(lambda document: document.score(object())), "score", "object", "a number"),
    (
        in_document(lambda document: document.score(85)),
        "score",
        "int",
        "a number from 0 to out_of (1), or pass out_of=100",
    ),
    (in_document(lambda document: document.score(-0.1)), "score", "float", "a number from 0 to out_of (1)"),
    (
        in_document(lambda document: document.score(101, out_of=100)),
        "score",
        "int",
        "a number from 0 to out_of",
    ),
    (in_document(lambda document: document.score(1, out_of=0)), "out_of", "int", "a number above 0"),
    (in_document(lambda document: document.score(1, out_of="x")), "out_of", "str", "a number"),
]


@pytest.mark.parametrize(
    ("act", "field", "kind", "wanted"), TABLE, ids=[f"{field}: {kind}" for _, field, kind, _ in TABLE]
)
def test_wrong_argument_is_logged_once(
    recorded: Recorded,
    caplog: pytest.LogCaptureFixture,
    act: Callable[[], object],
    field: str,
    kind: str,
    wanted: str,
) -> None:
    """The line holds its type, not its value, which may be a name. The rest of the run is recorded."""
    with caplog.at_level(logging.WARNING, logger="telemetry"):
        act()
        act()
    lines = [record.getMessage() for record in caplog.records]

    assert len(lines) == 1
    assert lines[0].startswith(
        f"telemetry: {field} has a value of type {kind} that cannot be used; expected: {wanted}"
    )
    assert internal_errors()["api"] == 2
    assert not any("Ada" in line for line in lines)
    ended = {"completed", "failed"} if field in ("error", "again") else {"completed"}
    assert {run.status for run in recorded.runs()} <= ended


@pytest.mark.parametrize(
    "act",
    [
        started(user_id=None, analysis_id="5", candidates=Decimal(5), criteria=5.0),
        started(user_id=True, subject=("draft", 12), enqueued_at=datetime(2026, 1, 1)),
        started(subject=("draft", uuid4()), enqueued_at=datetime(2026, 1, 1, tzinfo=UTC)),
        started(subject="draft:12", enqueued_at=datetime(2026, 1, 1, tzinfo=timezone(timedelta(hours=5)))),
        started(jd=(None, 5), jd_type="application/pdf"),
        started(jd=[1, 2], jd_type=""),
        in_document(lambda document: document.score("85", out_of=Decimal(100)), size="5"),
        in_document(lambda document: document.score(float("nan"))),
        in_run(lambda run: api.count("app_retries", 5.0)),
        in_run(lambda run: api.warn("other", action=None)),
        in_run(lambda run: run.fail(Ada)),
        in_run(lambda run: api.record_fallback(Ada("Ada"))),
        in_run(lambda run: api.fail_current_run("NoAnswer")),
        in_document(lambda document: document.score(1, fallback=Decimal(0))),
        lambda: api.resume({}),
        lambda: api.resume(None),
        lambda: api.resume({"run_id": "somebody else's", "traceparent": "x"}),
    ],
)
def test_valid_arguments_are_accepted_silently(
    recorded: Recorded, caplog: pytest.LogCaptureFixture, act: Callable[[], object]
) -> None:
    """Numbers of any type, strings of digits, and None are valid."""
    act()

    assert not caplog.records
    assert not internal_errors()


@pytest.mark.parametrize(
    ("act", "shown", "setting"),
    [
        (in_run(lambda run: api.count("retries")), "'retries'", "TELEMETRY_COUNTERS"),
        (in_run(lambda run: api.count("Zanzibar is late")), "'a text'", "TELEMETRY_COUNTERS"),
        (in_run(lambda run: api.warn("too_big")), "'too_big'", "TELEMETRY_WARNING_TYPES"),
    ],
)
def test_undeclared_names_are_logged(
    recorded: Recorded,
    caplog: pytest.LogCaptureFixture,
    act: Callable[[], object],
    shown: str,
    setting: str,
) -> None:
    """They count as `other`; the line names the setting that declares them, and quotes no free text."""
    act()
    (record,) = caplog.records

    assert shown in record.getMessage() and setting in record.getMessage()
    assert "Zanzibar" not in record.getMessage()


def test_the_class_of_an_error_is_one(recorded: Recorded) -> None:
    """Its name is all that is kept of an error."""
    with telemetry.run("intake"):
        telemetry.record_fallback(Ada)
        telemetry.record_fallback(Ada("Ada"))

    (counted,) = recorded.run().errors.items()
    assert counted == (("unattributed", f"{Ada.__module__}.Ada"), 2)


def test_set_up_and_its_end_name_what_is_wrong(recorded: Recorded, caplog: pytest.LogCaptureFixture) -> None:
    """By its type alone, and go on."""
    api.setup_telemetry({"database_url": "secret"}, name="screener")
    api.setup_telemetry(engines="secret")
    telemetry.start_run("intake").finish()
    with recording(Settings(spool_dir=recorded.path.parent / "another")):
        assert api.shutdown("secret")

    assert [record.getMessage() for record in caplog.records if record.name == "telemetry"] == [
        "telemetry is off for screener: settings= takes a telemetry.settings.Settings,"
        " not a value of type dict",
        "telemetry: engines= takes a list of SQLAlchemy engines, not a value of type str",
        "telemetry: shutdown() takes a number of seconds, not a value of type str",
    ]
    assert recorded.run().status == "completed"


def test_incomplete_subject_joins_no_intake(recorded: Recorded) -> None:
    """A subject without its number is ignored, or else the drafts of all users would be one."""
    api.start_run("intake", subject=("draft", None)).finish()
    api.start_run("analysis", subject=("draft", None), analysis_id=5, candidates=1).finish()
    assert recorded.pipeline.shutdown(10)

    rows = {row["kind"]: row for row in recorded.rows(tables.runs)}
    assert rows["intake"]["analysis_ref"] is None
    assert {row["subject"] for row in rows.values()} == {None}
