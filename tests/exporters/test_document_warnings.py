"""Warnings in the database are linked to the analysis of their subject, and abandoned after a time."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from functools import partial
from threading import Barrier
from uuid import uuid4

import pytest
from sqlalchemy.engine import Engine
from sqlalchemy.exc import OperationalError

from exporters.spool.warning_event import WarningEvent
from exporters.sql.database.engine import create_engine
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.storage import runs as run_storage
from exporters.sql.storage.warning_requests import TooManyWarnings, UserWarnings
from exporters.sql.storage.warnings import deliver, settle
from telemetry._internal.run import Warned
from telemetry.settings import Settings
from tests.exporters.makers import KEY, SOME_HOSTS, Fragment, Host

HOSTS = SOME_HOSTS


@pytest.fixture
def warnings(host: Host) -> Iterator[UserWarnings]:
    for user in (1, 2):
        host.add_user(user)
    store = UserWarnings(Settings(database_url=host.url, warnings_per_day=3))
    yield store
    store.close()


def owners(host: Host) -> dict[int, int | None]:
    return {row["id"]: row["analysis_id"] for row in host.rows("document_warnings")}


def test_a_warning_is_linked_to_the_analysis_of_its_subject(
    host: Host, engine: Engine, warnings: UserWarnings
) -> None:
    """The analysis must be of the same user; warnings of other subjects stay without one."""
    host.add_analysis(5)
    first = warnings.add(1, "resume_too_long", subject="draft/1")
    other_subject = warnings.add(1, "resume_too_long", subject="draft/2")
    other_user = warnings.add(2, "resume_too_long", subject="draft/1")
    without = warnings.add(1, "resume_too_long")
    run_storage.deliver(engine, Fragment(analysis_id=5, user_id=1, subject="draft/1").close())
    HostRows(engine, KEY).project_analysis(5)

    assert owners(host) == {first: 5, other_subject: None, other_user: None, without: None}


def test_locked_warnings_are_linked_later(postgres_host: Host) -> None:
    """Neither the host nor the writer waits for the other."""
    postgres_host.add_user()
    postgres_host.add_analysis(5)
    warnings = UserWarnings(Settings(database_url=postgres_host.url))
    warning = warnings.add(1, "resume_too_long", subject="draft/1")
    engine = create_engine(postgres_host.url)
    rows = HostRows(engine, KEY)
    run_storage.deliver(engine, Fragment(analysis_id=5, user_id=1, subject="draft/1").close())
    with postgres_host.holding("UPDATE document_warnings SET user_action = 'continued'"):
        rows.project_analysis(5)
    assert owners(postgres_host) == {warning: None}

    rows.project_analysis(5)
    assert owners(postgres_host) == {warning: 5}
    warnings.close()
    engine.dispose()


def test_a_warning_without_an_answer_is_abandoned(host: Host, engine: Engine, warnings: UserWarnings) -> None:
    """An answer that comes even later is accepted all the same."""
    old, new = warnings.add(1, "jd_too_long"), warnings.add(1, "jd_too_long")
    answered = warnings.add(1, "jd_too_long")
    assert warnings.answer(1, answered, "continued") == ("jd_too_long", True)
    for warning in (old, answered):
        host.execute(
            "UPDATE document_warnings SET warning_shown_at = :then WHERE id = :id",
            then=datetime(2026, 1, 1),
            id=warning,
        )

    assert settle(engine, timedelta(days=1)) == 1
    actions = {row["id"]: row["user_action"] for row in host.rows("document_warnings")}
    assert actions == {old: "abandoned", new: None, answered: "continued"}
    warnings.answer(1, old, "reduced_batch")
    assert host.row("document_warnings", id=old)["user_action"] == "reduced_batch"


def test_a_user_answers_only_their_own_warnings(warnings: UserWarnings) -> None:
    """A warning that does not exist cannot be answered either."""
    warning = warnings.add(1, "jd_too_long")
    assert warnings.answer(2, warning, "override") is None
    assert warnings.answer(1, warning + 1, "override") is None


def test_warnings_of_a_user_are_limited_per_day(host: Host, warnings: UserWarnings) -> None:
    """The limit is for 24 hours, by the clock of the database."""
    for _ in range(3):
        warnings.add(1, "jd_too_long")
    with pytest.raises(TooManyWarnings, match="3 warnings in 24 hours"):
        warnings.add(1, "jd_too_long")
    warnings.add(2, "jd_too_long")
    host.execute("UPDATE document_warnings SET warning_shown_at = :then", then=datetime(2026, 1, 1))
    warnings.add(1, "jd_too_long")


def all_at_once(*actions: Callable[[], object]) -> None:
    """Run all actions at once, each in its own thread; one that waited too long for a lock is repeated."""
    barrier = Barrier(len(actions))

    def act(action: Callable[[], object]) -> None:
        barrier.wait()
        while True:
            try:
                action()
            except OperationalError:
                continue
            except TooManyWarnings:
                pass
            return

    with ThreadPoolExecutor(len(actions)) as pool:
        list(pool.map(act, actions))


def test_simultaneous_requests_stay_within_the_limit(postgres_host: Host) -> None:
    """Every store stands for a process, and none counts before the one ahead has recorded."""
    postgres_host.add_user()
    stores = [UserWarnings(Settings(database_url=postgres_host.url, warnings_per_day=3)) for _ in range(12)]
    for store in stores:
        store.answer(1, 1, "override")  # connects, so that all add at the same time
    all_at_once(*(partial(store.add, 1, "jd_too_long") for store in stores))

    assert len(postgres_host.rows("document_warnings")) == 3
    for store in stores:
        store.close()


def test_simultaneous_writers_stay_within_the_limit(postgres_host: Host) -> None:
    """Also where the warnings are about different subjects."""
    postgres_host.add_user()
    engines = [create_engine(postgres_host.url) for _ in range(12)]
    for engine in engines:
        settle(engine, timedelta(days=1))
    now = time.time_ns()
    events = [
        WarningEvent(uuid4().hex, now, Warned(user_id=1, type="jd_too_long", subject=f"draft/{n}"))
        for n in range(len(engines))
    ]
    all_at_once(*(partial(deliver, engine, event, 3) for engine, event in zip(engines, events, strict=True)))

    assert len(postgres_host.rows("document_warnings")) == 3
    for engine in engines:
        engine.dispose()
