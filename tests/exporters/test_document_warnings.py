"""Warnings in the database: tied to the analysis that comes of their subject, and abandoned after a time."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime, timedelta

import pytest
from sqlalchemy.engine import Engine

from exporters import sql
from exporters.database import create_engine
from exporters.document_warnings import TooManyWarnings, UserWarnings, settle
from exporters.projection import Writable, project
from exporters.totals import Totals
from telemetry.settings import Settings
from tests.exporters.makers import KEY, SOME_HOSTS, Fragment, Host

HOSTS = SOME_HOSTS


@pytest.fixture
def warnings(host: Host) -> Iterator[UserWarnings]:
    for user in (1, 2):
        host.add_user(user)
    found = UserWarnings(Settings(database_url=host.url, warnings_per_day=3))
    yield found
    found.close()


def owners(host: Host) -> dict[int, int | None]:
    return {row["id"]: row["analysis_id"] for row in host.rows("document_warnings")}


def test_a_warning_gets_its_analysis(host: Host, engine: Engine, warnings: UserWarnings) -> None:
    """Once a run with its subject, of the same user, is linked; others stay without."""
    host.add_analysis(5)
    first = warnings.add(1, "resume_too_long", subject="draft/1")
    other_subject = warnings.add(1, "resume_too_long", subject="draft/2")
    other_user = warnings.add(2, "resume_too_long", subject="draft/1")
    without = warnings.add(1, "resume_too_long")
    sql.deliver(engine, Fragment(analysis_id=5, user_id=1, subject="draft/1").close(), Totals())
    project(engine, 5, Writable.load(engine), KEY, Totals())

    assert owners(host) == {first: 5, other_subject: None, other_user: None, without: None}


def test_warnings_that_the_host_holds_are_left_for_later(postgres_host: Host) -> None:
    """Nobody waits for anybody."""
    postgres_host.add_user()
    postgres_host.add_analysis(5)
    warnings = UserWarnings(Settings(database_url=postgres_host.url))
    warning = warnings.add(1, "resume_too_long", subject="draft/1")
    engine = create_engine(postgres_host.url)
    writable = Writable.load(engine)
    sql.deliver(engine, Fragment(analysis_id=5, user_id=1, subject="draft/1").close(), Totals())
    with postgres_host.holding("UPDATE document_warnings SET user_action = 'continued'"):
        project(engine, 5, writable, KEY, Totals())
    assert owners(postgres_host) == {warning: None}

    project(engine, 5, writable, KEY, Totals())
    assert owners(postgres_host) == {warning: 5}
    warnings.close()
    engine.dispose()


def test_what_nobody_answers_is_abandoned(host: Host, engine: Engine, warnings: UserWarnings) -> None:
    """After a time; an answer that comes late is taken all the same."""
    old, new = warnings.add(1, "jd_too_long"), warnings.add(1, "jd_too_long")
    answered = warnings.add(1, "jd_too_long")
    assert warnings.answer(1, answered, "continued") == "jd_too_long"
    for each in (old, answered):
        host.execute(
            "UPDATE document_warnings SET warning_shown_at = :then WHERE id = :id",
            then=datetime(2026, 1, 1),
            id=each,
        )

    assert settle(engine, timedelta(days=1)) == 1
    actions = {row["id"]: row["user_action"] for row in host.rows("document_warnings")}
    assert actions == {old: "abandoned", new: None, answered: "continued"}
    warnings.answer(1, old, "reduced_batch")
    assert host.row("document_warnings", id=old)["user_action"] == "reduced_batch"


def test_nobody_answers_for_others(warnings: UserWarnings) -> None:
    """Nor for warnings that there are not."""
    warning = warnings.add(1, "jd_too_long")
    assert warnings.answer(2, warning, "override") is None
    assert warnings.answer(1, warning + 1, "override") is None


def test_a_user_has_only_so_many(host: Host, warnings: UserWarnings) -> None:
    """In 24 hours, by the clock of the database."""
    for _ in range(3):
        warnings.add(1, "jd_too_long")
    with pytest.raises(TooManyWarnings, match="3 warnings in 24 hours"):
        warnings.add(1, "jd_too_long")
    warnings.add(2, "jd_too_long")
    host.execute("UPDATE document_warnings SET warning_shown_at = :then", then=datetime(2026, 1, 1))
    warnings.add(1, "jd_too_long")
