"""Warnings that the application records, or that telemetry derives from its limits, on the way to SQL."""

from __future__ import annotations

import itertools
import os
import signal
import textwrap
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

import telemetry
from exporters.process.pipeline import Pipeline
from exporters.process.spool_keeper import SpoolKeeper
from exporters.spool.warning_event import WarningEvent
from exporters.sql.database.engine import create_engine
from exporters.sql.storage import runs as run_storage
from exporters.sql.storage.warnings import deliver, settle
from telemetry._internal.run import Warned
from telemetry.conventions import WARNINGS
from telemetry.settings import Settings
from telemetry.testing import recording
from tests import fresh
from tests.choice import examples
from tests.exporters.makers import SOME_HOSTS, Fragment, Host
from tests.waiting import until

HOSTS = SOME_HOSTS
ROOT = Path(__file__).parents[2]
SECOND = 10**9
DRAFT = ("draft", 1)


@pytest.fixture
def known(tmp_path: Path) -> dict[str, Any]:
    """The settings of the processes of one application."""
    return {
        "spool_dir": tmp_path / "spool",
        "hmac_key": "secret",
        "checkpoint_seconds": 0.1,
        "resume_max_characters": 1000,
        "resume_min_characters": 10,
        "jd_max_characters": 500,
        "jd_min_characters": 20,
        "batch_max_documents": 2,
    }


@pytest.fixture
def record(known: dict[str, Any]) -> Iterator[Callable[..., Pipeline]]:
    with ExitStack() as stack:

        def start(host: Host, **more: Any) -> Pipeline:
            host.add_user()
            pipeline: Pipeline = stack.enter_context(
                recording(Settings(**{"database_url": host.url, **known, **more}))
            )
            return pipeline

        yield start


def shown(host: Host) -> list[tuple[str, str | None, int | None]]:
    rows = host.rows("document_warnings")
    return sorted((row["warning_type"], row["user_action"], row["document_count"]) for row in rows)


def counts_of(pipeline: Pipeline) -> dict[tuple[str, str], int]:
    sums = pipeline.metrics.totals.read(WARNINGS)
    return {(labels["type"], labels["action"]): count for labels, count in sums if count}


# From Python


def test_numbers_may_be_passed_as_text(host: Host, record: Callable[..., Pipeline]) -> None:
    """A form sends digits; a value that is no number is left out, and the warning is kept."""
    pipeline = record(host)
    digits: Any = "1"
    no_number: Any = uuid4()
    telemetry.warn(
        "batch_too_large", user_id=digits, subject=DRAFT, document_count=digits, document_size=no_number
    )
    telemetry.answer_warnings(DRAFT, "continued", user_id=digits)
    assert pipeline.shutdown(10)

    row = host.row("document_warnings")
    assert (row["user_id"], row["document_count"], row["document_size"]) == (1, 1, None)
    assert row["user_action"] == "continued"


def test_a_warning_and_its_answer_are_stored_and_linked(host: Host, record: Callable[..., Pipeline]) -> None:
    """No run needs to be open; both are linked to the analysis once it exists."""
    pipeline = record(host)
    host.add_analysis(1)
    telemetry.warn(
        "batch_too_large", user_id=1, subject=DRAFT, document_count=250, document_size=9, limit=200
    )
    until(lambda: shown(host) == [("batch_too_large", None, 250)])
    telemetry.answer_warnings(DRAFT, "override", user_id=1)
    until(lambda: shown(host) == [("batch_too_large", "override", 250)])
    with telemetry.run("analysis", user_id=1, subject=DRAFT, analysis_id=1, candidates=1):
        pass

    until(lambda: host.row("document_warnings")["analysis_id"] == 1)
    row = host.row("document_warnings")
    assert (row["user_id"], row["subject"], row["document_size"]) == (1, "draft:1", 9)
    assert row["additional_data"] == '{"limit": 200}'
    assert counts_of(pipeline) == {("batch_too_large", "shown"): 1, ("batch_too_large", "override"): 1}


def test_a_warning_inside_a_run_has_its_user_and_subject(
    sqlite_host: Host, record: Callable[..., Pipeline]
) -> None:
    """The application need not repeat them."""
    record(sqlite_host)
    with telemetry.run("intake", user_id=1, subject=DRAFT):
        telemetry.warn("resume_too_long", document_count=1)

    until(lambda: shown(sqlite_host) == [("resume_too_long", None, 1)])
    row = sqlite_host.row("document_warnings")
    assert (row["user_id"], row["subject"]) == (1, "draft:1")


def test_declared_types_of_the_host_are_kept(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """Types that are not declared become `other`, and unknown actions `continued`."""
    record(sqlite_host, warning_types=("scan_without_text",))
    telemetry.warn("scan_without_text", user_id=1, action="continued")
    telemetry.warn("Jane Doe's résumé", user_id=1, action="she left")

    until(lambda: len(shown(sqlite_host)) == 2)
    assert shown(sqlite_host) == [("other", "continued", None), ("scan_without_text", "continued", None)]


def test_an_answer_may_be_limited_to_a_user(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """Several users may work on one subject."""
    record(sqlite_host)
    sqlite_host.add_user(2)
    for user in (1, 2):
        telemetry.warn("jd_too_long", user_id=user, subject="team/7")
    telemetry.answer_warnings("team/7", "reduced_batch", user_id=2)

    until(lambda: "reduced_batch" in [row["user_action"] for row in sqlite_host.rows("document_warnings")])
    actions = {row["user_id"]: row["user_action"] for row in sqlite_host.rows("document_warnings")}
    assert actions == {1: None, 2: "reduced_batch"}


def test_an_answer_may_be_limited_to_a_type(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """A user may override one warning and continue after the others."""
    record(sqlite_host)
    for kind in ("jd_too_long", "batch_too_large"):
        telemetry.warn(kind, user_id=1, subject=DRAFT)
    telemetry.answer_warnings(DRAFT, "override", warning_type="batch_too_large")
    telemetry.answer_warnings(DRAFT, "continued")

    until(lambda: None not in [action for _, action, _ in shown(sqlite_host)] != [])
    assert shown(sqlite_host) == [("batch_too_large", "override", None), ("jd_too_long", "continued", None)]


def test_warnings_without_recording_do_nothing() -> None:
    """No call raises an error."""
    telemetry.warn("jd_too_long", user_id=1)
    telemetry.answer_warnings(DRAFT, "continued")


def test_warnings_beyond_the_daily_limit_are_refused(
    sqlite_host: Host, record: Callable[..., Pipeline]
) -> None:
    """They are counted, but not stored."""
    pipeline = record(sqlite_host, warnings_per_day=3)
    for _ in range(5):
        telemetry.warn("jd_too_long", user_id=1)

    until(lambda: counts_of(pipeline) == {("jd_too_long", "shown"): 3, ("jd_too_long", "refused"): 2})
    assert len(shown(sqlite_host)) == 3


def test_warnings_of_a_deleted_user_are_refused(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """Nothing is stored, and nothing remains in the spool."""
    pipeline = record(sqlite_host)
    telemetry.warn("jd_too_long", user_id=99)

    until(lambda: counts_of(pipeline) == {("jd_too_long", "refused"): 1})
    until(lambda: pipeline.spool.pending() == 0)
    assert (shown(sqlite_host), pipeline.spool.dead()) == ([], 0)


def test_warnings_of_a_killed_process_are_delivered_once(
    sqlite_host: Host, known: dict[str, Any], tmp_path: Path
) -> None:
    """They are on the disk before the call returns; a copy of its directory adds nothing."""
    sqlite_host.add_user()
    code = """
        import os, signal, sys
        import telemetry
        from telemetry.settings import Settings
        from telemetry.testing import recording
        from pathlib import Path
        settings = Settings(database_url=sys.argv[1], spool_dir=Path(sys.argv[2]), hmac_key="secret")
        with recording(settings):
            telemetry.warn("jd_too_long", user_id=1, subject="draft:1")
            telemetry.answer_warnings("draft:1", "continued")
            os.kill(os.getpid(), signal.SIGKILL)
    """
    command = ("-c", textwrap.dedent(code), sqlite_host.url, str(known["spool_dir"]))
    with sqlite_host.holding("BEGIN EXCLUSIVE"):
        done = fresh.run(*command, cwd=ROOT)
    settings = Settings(database_url=sqlite_host.url, **known)
    copied = next((known["spool_dir"] / settings.spool_key()).iterdir())
    copy = copied.with_name("0" * 32)
    copy.mkdir()
    for file in copied.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())

    assert done.returncode == -signal.SIGKILL
    assert SpoolKeeper(settings).recover(20)
    assert shown(sqlite_host) == [("jd_too_long", "continued", None)]
    assert not list(known["spool_dir"].rglob("*.json"))


# In any order


def event(at: int, **fields: Any) -> WarningEvent:
    return WarningEvent(os.urandom(16).hex(), at, Warned(**fields))


def test_an_answer_may_overtake_its_warning(host: Host, engine: Engine) -> None:
    """Another process may deliver it first; a warning that was shown later is not answered by it."""
    host.add_user()
    answer = event(20 * SECOND, subject="draft:1", action="reduced_batch", is_answer=True)
    late = event(10 * SECOND, type="jd_too_long", user_id=1, subject="draft:1")
    later = event(30 * SECOND, type="jd_too_short", user_id=1, subject="draft:1")
    for warning_event in (answer, late, later, answer, late):
        deliver(engine, warning_event, 100)

    assert shown(host) == [("jd_too_long", "reduced_batch", None), ("jd_too_short", None, None)]


DAY = 24 * 3600 * SECOND
PARTS = st.lists(
    st.tuples(st.sampled_from(["shown", "continued", "override"]), st.integers(0, 5)), min_size=1, max_size=6
)


def test_ids_that_fit_no_column_are_left_out(host: Host, engine: Engine) -> None:
    """A subject that is cut still matches its answer."""
    host.add_user()
    about = {"type": "jd_too_long", "subject": "s" * 300}
    for warning_event in (
        event(1, **about, user_id=2**70),
        event(2, **about, user_id=1, analysis_id=2**70),
        event(3, subject="s" * 300, is_answer=True, action="continued"),
    ):
        deliver(engine, warning_event, 100)
    row = host.row("document_warnings")

    assert (row["user_id"], row["analysis_id"], row["user_action"]) == (1, None, "continued")


@settings(
    max_examples=examples(30), deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(PARTS, st.randoms(use_true_random=False))
def test_warnings_and_answers_may_arrive_in_any_order(
    sqlite_host: Host, parts: list[tuple[str, int]], chance: Any
) -> None:
    """Some of them arrive twice; all happened at different times."""
    engine = create_engine(sqlite_host.url)
    if not sqlite_host.rows("users"):
        sqlite_host.add_user()
    base = 100 * DAY
    happened = [
        event(
            base + hour * 3600 * SECOND + n * SECOND // 1000,
            type="jd_too_long" if what == "shown" else None,
            action=None if what == "shown" else what,
            is_answer=what != "shown",
            user_id=1,
            subject="draft:1",
            document_count=n,
        )
        for n, (what, hour) in enumerate(parts)
    ]
    results = []
    for order in (
        sorted(happened, key=lambda happening: happening.happened_at),
        chance.sample(happened, len(happened)),
    ):
        for table in ("document_warnings", "telemetry_warning_events"):
            sqlite_host.execute(f"DELETE FROM {table}")
        for happening in itertools.chain(order, order[:2]):
            deliver(engine, happening, 100)
        rows = sqlite_host.rows("document_warnings")
        results.append(sorted((row["document_count"], row["user_action"]) for row in rows))
    engine.dispose()

    assert results[0] == results[1]
    for number, action in results[0]:
        at = next(entry.happened_at for entry in happened if entry.warned.document_count == number)
        since = at - 5 * SECOND  # clocks may differ
        answers = [entry for entry in happened if entry.warned.is_answer and entry.happened_at >= since]
        first = min(answers, key=lambda answer: answer.happened_at, default=None)
        assert action == (first.warned.action if first else None)


# Limits of telemetry


def upload(*lengths: int, **more: Any) -> telemetry.RunHandle:
    with telemetry.run("intake", user_id=1, subject=DRAFT, **more) as run:
        for number, characters in enumerate(lengths):
            with telemetry.document(f"{number}.pdf", size=characters * 2, characters=characters, type="pdf"):
                pass
    return run


def test_documents_beyond_limits_make_one_warning_for_each_type(
    host: Host, record: Callable[..., Pipeline]
) -> None:
    """It has the number of documents, and is on the handle of the run, to be shown."""
    pipeline = record(host)
    run = upload(1000, 1001, 5000, 9, 10, jd=(900, 501), jd_type="docx")

    until(lambda: len(shown(host)) == 3)
    assert shown(host) == [
        ("jd_too_long", None, 1),
        ("resume_too_long", None, 2),
        ("resume_too_short", None, 1),
    ]
    by_type = {
        warning.type: (warning.document_count, warning.characters, warning.limit) for warning in run.warnings
    }
    assert by_type == {
        "jd_too_long": (1, 501, 500),
        "resume_too_long": (2, 5000, 1000),
        "resume_too_short": (1, 9, 10),
    }
    sizes = {row["warning_type"]: row["document_size"] for row in host.rows("document_warnings")}
    assert sizes == {"jd_too_long": 900, "resume_too_long": 10_000, "resume_too_short": 18}
    row = host.row("telemetry_runs")
    assert (row["jd_bytes"], row["jd_characters"], row["jd_type"]) == (900, 501, "docx")
    assert counts_of(pipeline)["resume_too_long", "shown"] == 1


def test_documents_within_limits_make_no_warning(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """A length equal to its limit is allowed, and 0 switches a limit off."""
    record(sqlite_host, resume_min_characters=0, jd_max_characters=0)
    run = upload(1000, 10, 1, jd=(None, 10_000), candidates=2)

    assert run.warnings == ()


def test_a_short_job_description_makes_a_warning(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """It says too little to judge candidates by."""
    record(sqlite_host)
    assert [warning.type for warning in upload(jd=(10, 19)).warnings] == ["jd_too_short"]


def test_lengths_are_checked_in_the_intake_only(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """An analysis of the same subject does not warn of them again."""
    record(sqlite_host)
    upload(5000)
    with (
        telemetry.run("analysis", user_id=1, subject=DRAFT, candidates=1) as run,
        telemetry.document("0.pdf", characters=5000),
    ):
        pass
    assert run.warnings == ()


def test_an_analysis_without_an_intake_checks_lengths(
    sqlite_host: Host, record: Callable[..., Pipeline]
) -> None:
    """Its warnings are linked to it."""
    record(sqlite_host)
    sqlite_host.add_analysis(1)
    with (
        telemetry.run("analysis", user_id=1, candidates=1) as run,
        telemetry.document("0.pdf", characters=5000),
    ):
        pass
    run.link(1)

    until(lambda: [row["analysis_id"] for row in sqlite_host.rows("document_warnings")] == [1])
    assert [warning.type for warning in run.warnings] == ["resume_too_long"]


def test_an_analysis_over_the_batch_limit_makes_a_warning(
    sqlite_host: Host, record: Callable[..., Pipeline]
) -> None:
    """The user has continued; the view of jobs shows that it was over the limit."""
    record(sqlite_host)
    sqlite_host.add_analysis(1)
    with telemetry.run("analysis", user_id=1, analysis_id=1, candidates=3):
        pass

    until(lambda: shown(sqlite_host) == [("batch_too_large", "continued", 3)])
    until(lambda: sqlite_host.row("telemetry_jobs")["exceeded_resume_limit"])
    assert not sqlite_host.row("telemetry_jobs")["user_chose_override"]


def test_a_batch_warning_of_the_application_is_not_repeated(
    sqlite_host: Host, record: Callable[..., Pipeline]
) -> None:
    """The analysis of the same subject adds none."""
    pipeline = record(sqlite_host)
    telemetry.warn("batch_too_large", user_id=1, subject=DRAFT, document_count=3, action="override")
    until(lambda: len(shown(sqlite_host)) == 1)
    with telemetry.run("analysis", user_id=1, subject=DRAFT, candidates=3):
        pass

    until(lambda: [row["status"] for row in sqlite_host.rows("telemetry_runs")] == ["completed"])
    until(lambda: pipeline.spool.pending() == 0)
    assert shown(sqlite_host) == [("batch_too_large", "override", 3)]


def test_the_daily_check_links_remaining_warnings(host: Host, engine: Engine) -> None:
    """A row that the host has locked is left for the next check."""
    host.add_user()
    host.add_analysis(1)
    subject: dict[str, Any] = {"user_id": 1, "subject": "draft:1"}
    run_storage.deliver(engine, Fragment(analysis_id=1, opened_at=time.time_ns(), **subject).close())
    now = datetime.now(UTC).replace(tzinfo=None)
    known = {"warning_type": "jd_too_long", "user_action": "override", "warning_shown_at": now}
    host.insert("document_warnings", **subject, **known)
    if host.is_postgresql:
        with host.holding("SELECT * FROM analyses FOR UPDATE"):
            settle(engine, timedelta(days=1))
            assert host.row("document_warnings")["analysis_id"] is None

    settle(engine, timedelta(days=1))
    assert host.row("document_warnings")["analysis_id"] == 1


def test_warnings_before_an_analysis_count_as_continued(
    sqlite_host: Host, record: Callable[..., Pipeline]
) -> None:
    """The application need not record an answer; without an analysis they are abandoned after a time."""
    record(sqlite_host)
    sqlite_host.add_analysis(1)
    upload(5000)
    telemetry.warn("jd_too_long", user_id=1, subject="draft:2")
    until(lambda: len(shown(sqlite_host)) == 2)
    with telemetry.run("analysis", user_id=1, subject=DRAFT, analysis_id=1):
        pass
    until(lambda: 1 in [row["analysis_id"] for row in sqlite_host.rows("document_warnings")])
    time.sleep(1)  # SQLite's clock has whole seconds
    engine = create_engine(sqlite_host.url)

    assert settle(engine, timedelta(0)) == 1
    engine.dispose()
    assert shown(sqlite_host) == [("jd_too_long", "abandoned", None), ("resume_too_long", "continued", 1)]
