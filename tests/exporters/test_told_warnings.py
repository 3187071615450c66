"""Warnings that the application tells of, and that telemetry finds by its limits, on their way to SQL."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
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
from telemetry._internal.context import Warned
from telemetry.conventions import WARNINGS
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.exporters.makers import SOME_HOSTS, Fragment, Host, until

HOSTS = SOME_HOSTS
ROOT = Path(__file__).parents[2]
SECOND = 10**9
DRAFT = ("draft", 1)


@pytest.fixture
def known(tmp_path: Path) -> dict[str, Any]:
    """Settings of the processes of one application."""
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


def told(pipeline: Pipeline) -> dict[tuple[str, str], int]:
    sums = pipeline.metrics.totals.read(WARNINGS)
    return {(labels["type"], labels["action"]): count for labels, count in sums if count}


# From Python


def test_numbers_of_any_type(host: Host, record: Callable[..., Pipeline]) -> None:
    """A page may tell digits; what is no number is left out, and the warning kept."""
    pipeline = record(host)
    odd: Any = "1"
    none: Any = uuid4()
    telemetry.warn("batch_too_large", user_id=odd, subject=DRAFT, document_count=odd, document_size=none)
    telemetry.answer_warnings(DRAFT, "continued", user_id=odd)
    assert pipeline.shutdown(10)

    row = host.row("document_warnings")
    assert (row["user_id"], row["document_count"], row["document_size"]) == (1, 1, None)
    assert row["user_action"] == "continued"


def test_a_warning_and_its_answer(host: Host, record: Callable[..., Pipeline]) -> None:
    """Before any analysis exists, and with no run open; tied to the analysis once there is one."""
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
    assert told(pipeline) == {("batch_too_large", "shown"): 1, ("batch_too_large", "override"): 1}


def test_inside_a_run_the_run_is_meant(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """Nobody has to repeat who and what."""
    record(sqlite_host)
    with telemetry.run("intake", user_id=1, subject=DRAFT):
        telemetry.warn("resume_too_long", document_count=1)

    until(lambda: shown(sqlite_host) == [("resume_too_long", None, 1)])
    row = sqlite_host.row("document_warnings")
    assert (row["user_id"], row["subject"]) == (1, "draft:1")


def test_types_of_the_hosts_own(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """Those that are declared are kept; what nobody declared, and unknown actions, are not taken over."""
    record(sqlite_host, warning_types=("scan_without_text",))
    telemetry.warn("scan_without_text", user_id=1, action="continued")
    telemetry.warn("Jane Doe's résumé", user_id=1, action="she left")

    until(lambda: len(shown(sqlite_host)) == 2)
    assert shown(sqlite_host) == [("other", "continued", None), ("scan_without_text", "continued", None)]


def test_an_answer_is_for_one_user_if_it_says_so(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """Two users may work on one subject."""
    record(sqlite_host)
    sqlite_host.add_user(2)
    for user in (1, 2):
        telemetry.warn("jd_too_long", user_id=user, subject="team/7")
    telemetry.answer_warnings("team/7", "reduced_batch", user_id=2)

    until(lambda: "reduced_batch" in [row["user_action"] for row in sqlite_host.rows("document_warnings")])
    actions = {row["user_id"]: row["user_action"] for row in sqlite_host.rows("document_warnings")}
    assert actions == {1: None, 2: "reduced_batch"}


def test_an_answer_may_be_to_one_type(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """Who overrides a limit has merely gone on with the rest."""
    record(sqlite_host)
    for kind in ("jd_too_long", "batch_too_large"):
        telemetry.warn(kind, user_id=1, subject=DRAFT)
    telemetry.answer_warnings(DRAFT, "override", warning_type="batch_too_large")
    telemetry.answer_warnings(DRAFT, "continued")

    until(lambda: None not in [action for _, action, _ in shown(sqlite_host)] != [])
    assert shown(sqlite_host) == [("batch_too_large", "override", None), ("jd_too_long", "continued", None)]


def test_without_recording_nothing_happens() -> None:
    """As with every other call."""
    telemetry.warn("jd_too_long", user_id=1)
    telemetry.answer_warnings(DRAFT, "continued")


def test_a_user_has_only_so_many(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """What is beyond is counted, and not recorded."""
    pipeline = record(sqlite_host, warnings_per_day=3)
    for _ in range(5):
        telemetry.warn("jd_too_long", user_id=1)

    until(lambda: told(pipeline) == {("jd_too_long", "shown"): 3, ("jd_too_long", "refused"): 2})
    assert len(shown(sqlite_host)) == 3


def test_a_user_who_is_gone(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """Their warnings would have gone with them; nothing is left behind, in the spool neither."""
    pipeline = record(sqlite_host)
    telemetry.warn("jd_too_long", user_id=99)

    until(lambda: told(pipeline) == {("jd_too_long", "refused"): 1})
    assert (shown(sqlite_host), pipeline.spool.pending(), pipeline.spool.dead()) == ([], 0, 0)


def test_a_dead_process_leaves_its_warnings(sqlite_host: Host, known: dict[str, Any], tmp_path: Path) -> None:
    """They are on the disk before the call returns: the next process delivers them, once."""
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
    command = [sys.executable, "-c", textwrap.dedent(code), sqlite_host.url, str(known["spool_dir"])]
    with sqlite_host.holding("BEGIN EXCLUSIVE"):
        done = subprocess.run(command, cwd=ROOT, timeout=300, check=False)
    settings = Settings(database_url=sqlite_host.url, **known)
    copied = next((known["spool_dir"] / settings.spool_key()).iterdir())
    again = copied.with_name("0" * 32)
    again.mkdir()
    for file in copied.iterdir():
        (again / file.name).write_bytes(file.read_bytes())

    assert done.returncode == -signal.SIGKILL
    assert SpoolKeeper(settings).recover(20)
    assert shown(sqlite_host) == [("jd_too_long", "continued", None)]
    assert not list(known["spool_dir"].rglob("*.json"))


# In any order


def event(at: int, **told: Any) -> WarningEvent:
    return WarningEvent(os.urandom(16).hex(), at, Warned(**told))


def test_an_answer_may_overtake_its_warning(host: Host, engine: Engine) -> None:
    """Another process may deliver it; a warning that was shown after it is not answered by it."""
    host.add_user()
    answer = event(20 * SECOND, subject="draft:1", action="reduced_batch", is_answer=True)
    late = event(10 * SECOND, type="jd_too_long", user_id=1, subject="draft:1")
    later = event(30 * SECOND, type="jd_too_short", user_id=1, subject="draft:1")
    for each in (answer, late, later, answer, late):
        deliver(engine, each, 100)

    assert shown(host) == [("jd_too_long", "reduced_batch", None), ("jd_too_short", None, None)]


DAY = 24 * 3600 * SECOND
PARTS = st.lists(
    st.tuples(st.sampled_from(["shown", "continued", "override"]), st.integers(0, 5)), min_size=1, max_size=6
)


def test_what_fits_no_column(host: Host, engine: Engine) -> None:
    """A user or an analysis of an impossible id is none; what is cut is still known by its answer."""
    host.add_user()
    about = {"type": "jd_too_long", "subject": "s" * 300}
    for each in (
        event(1, **about, user_id=2**70),
        event(2, **about, user_id=1, analysis_id=2**70),
        event(3, subject="s" * 300, is_answer=True, action="continued"),
    ):
        deliver(engine, each, 100)
    row = host.row("document_warnings")

    assert (row["user_id"], row["analysis_id"], row["user_action"]) == (1, None, "continued")


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(PARTS, st.randoms(use_true_random=False))
def test_any_order_comes_to_the_same(sqlite_host: Host, parts: list[tuple[str, int]], chance: Any) -> None:
    """What happened hours apart is told in whatever order, some of it twice."""
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
        sorted(happened, key=lambda each: each.happened_at),
        chance.sample(happened, len(happened)),
    ):
        for table in ("document_warnings", "telemetry_warning_events"):
            sqlite_host.execute(f"DELETE FROM {table}")
        for each in itertools.chain(order, order[:2]):
            deliver(engine, each, 100)
        rows = sqlite_host.rows("document_warnings")
        results.append(sorted((row["document_count"], row["user_action"]) for row in rows))
    engine.dispose()

    assert results[0] == results[1]
    for number, action in results[0]:
        at = next(each.happened_at for each in happened if each.warned.document_count == number)
        since = at - 5 * SECOND  # clocks may differ
        answers = [each for each in happened if each.warned.is_answer and each.happened_at >= since]
        first = min(answers, key=lambda each: each.happened_at, default=None)
        assert action == (first.warned.action if first else None)


# By the limits of telemetry


def upload(*lengths: int, **more: Any) -> telemetry.RunHandle:
    with telemetry.run("intake", user_id=1, subject=DRAFT, **more) as run:
        for number, characters in enumerate(lengths):
            with telemetry.document(f"{number}.pdf", size=characters * 2, characters=characters, type="pdf"):
                pass
    return run


def test_what_is_too_long_or_too_short(host: Host, record: Callable[..., Pipeline]) -> None:
    """One warning for each type, with how many it is about; on the handle, too, to be shown."""
    pipeline = record(host)
    run = upload(1000, 1001, 5000, 9, 10, jd=(900, 501), jd_type="docx")

    until(lambda: len(shown(host)) == 3)
    assert shown(host) == [
        ("jd_too_long", None, 1),
        ("resume_too_long", None, 2),
        ("resume_too_short", None, 1),
    ]
    found = {each.type: (each.document_count, each.characters, each.limit) for each in run.warnings}
    assert found == {
        "jd_too_long": (1, 501, 500),
        "resume_too_long": (2, 5000, 1000),
        "resume_too_short": (1, 9, 10),
    }
    sizes = {row["warning_type"]: row["document_size"] for row in host.rows("document_warnings")}
    assert sizes == {"jd_too_long": 900, "resume_too_long": 10_000, "resume_too_short": 18}
    row = host.row("telemetry_runs")
    assert (row["jd_bytes"], row["jd_characters"], row["jd_type"]) == (900, 501, "docx")
    assert told(pipeline)["resume_too_long", "shown"] == 1


def test_what_is_within_its_limits(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """Limits themselves are allowed; 0 switches one off."""
    record(sqlite_host, resume_min_characters=0, jd_max_characters=0)
    run = upload(1000, 10, 1, jd=(None, 10_000), candidates=2)

    assert run.warnings == ()


def test_a_short_job_description(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """It says too little to judge anybody by."""
    record(sqlite_host)
    assert [each.type for each in upload(jd=(10, 19)).warnings] == ["jd_too_short"]


def test_lengths_are_looked_at_once(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """Where documents come in: an analysis of the same subject does not warn of them again."""
    record(sqlite_host)
    upload(5000)
    with (
        telemetry.run("analysis", user_id=1, subject=DRAFT, candidates=1) as run,
        telemetry.document("0.pdf", characters=5000),
    ):
        pass
    assert run.warnings == ()


def test_an_analysis_without_an_intake(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """It looks itself, and its warnings are its own."""
    record(sqlite_host)
    sqlite_host.add_analysis(1)
    with (
        telemetry.run("analysis", user_id=1, candidates=1) as run,
        telemetry.document("0.pdf", characters=5000),
    ):
        pass
    run.link(1)

    until(lambda: [row["analysis_id"] for row in sqlite_host.rows("document_warnings")] == [1])
    assert [each.type for each in run.warnings] == ["resume_too_long"]


def test_a_batch_over_the_limit(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """Whoever analysed it went on; the jobs' view says that it was over the limit."""
    record(sqlite_host)
    sqlite_host.add_analysis(1)
    with telemetry.run("analysis", user_id=1, analysis_id=1, candidates=3):
        pass

    until(lambda: shown(sqlite_host) == [("batch_too_large", "continued", 3)])
    until(lambda: sqlite_host.row("telemetry_jobs")["exceeded_resume_limit"])
    assert not sqlite_host.row("telemetry_jobs")["user_chose_override"]


def test_a_batch_of_which_the_page_has_told(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """It is one warning."""
    pipeline = record(sqlite_host)
    telemetry.warn("batch_too_large", user_id=1, subject=DRAFT, document_count=3, action="override")
    until(lambda: len(shown(sqlite_host)) == 1)
    with telemetry.run("analysis", user_id=1, subject=DRAFT, candidates=3):
        pass

    until(lambda: [row["status"] for row in sqlite_host.rows("telemetry_runs")] == ["completed"])
    until(lambda: pipeline.spool.pending() == 0)
    assert shown(sqlite_host) == [("batch_too_large", "override", 3)]


def test_what_arrived_at_a_bad_moment_is_tied_later(host: Host, engine: Engine) -> None:
    """By the daily check; a row that the host is at work on is left for the next."""
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


def test_who_went_on_to_an_analysis_has_continued(sqlite_host: Host, record: Callable[..., Pipeline]) -> None:
    """Though no page said so; who did not is called abandoned after a time."""
    record(sqlite_host)
    sqlite_host.add_analysis(1)
    upload(5000)
    telemetry.warn("jd_too_long", user_id=1, subject="draft:2")
    until(lambda: len(shown(sqlite_host)) == 2)
    with telemetry.run("analysis", user_id=1, subject=DRAFT, analysis_id=1):
        pass
    until(lambda: 1 in [row["analysis_id"] for row in sqlite_host.rows("document_warnings")])
    time.sleep(1)  # the clock of SQLite has whole seconds
    engine = create_engine(sqlite_host.url)

    assert settle(engine, timedelta(0)) == 1
    engine.dispose()
    assert shown(sqlite_host) == [("jd_too_long", "abandoned", None), ("resume_too_long", "continued", 1)]
