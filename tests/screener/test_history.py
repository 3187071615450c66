"""A history that was never lived: always the same, consistent, and with the shape of a real one."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from examples.screener.history import History, write
from exporters.integrity.validation import broken
from exporters.sql.schema import migrate
from tests.migrations.databases import engine_of

END = date(2026, 11, 25)
ANALYSES = 3000


@pytest.fixture(scope="module")
def jobs() -> list[dict[str, object]]:
    return [job.run for job in History(ANALYSES, END).jobs()]


def test_it_is_always_the_same() -> None:
    """The same seed gives the same history, another one another."""
    first, again, other = (list(History(200, END, seed).jobs()) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_as_many_as_asked_for_in_order_and_in_the_past(jobs: list[dict[str, object]]) -> None:
    """From three years ago until yesterday."""
    times = [job["started_at"] for job in jobs]
    assert len(jobs) in (ANALYSES, ANALYSES - 1)
    assert times == sorted(times)  # type: ignore[type-var]
    days = [time.date() for time in times]  # type: ignore[attr-defined]
    assert END - timedelta(days=3 * 365) <= days[0] and days[-1] < END


def test_it_has_the_shape_of_a_real_one(jobs: list[dict[str, object]]) -> None:
    """It grows, rests at weekends, fails now and then, and has batches of every size."""
    days = [job["started_at"].date() for job in jobs]  # type: ignore[attr-defined]
    years = Counter((day - days[0]).days // 365 for day in days)
    assert years[0] < years[1] < years[2]
    weekend = sum(day.weekday() >= 5 for day in days)
    assert 0 < weekend < 0.1 * ANALYSES
    statuses = Counter(job["status"] for job in jobs)
    assert statuses["completed"] > 0.9 * ANALYSES
    assert min(statuses[name] for name in ("failed", "interrupted", "partial_failure")) > 0
    assert any(job["analysis_ref"] is None for job in jobs)
    assert {bool(job["exceeded_resume_limit"]) for job in jobs} == {True, False}


def test_it_is_consistent(database_url: str) -> None:
    """On either database, no rule is broken, and users have their totals."""
    migrate.upgrade(database_url, with_base_tables=True)
    with engine_of(database_url) as engine:
        write(engine, History(400, END))
        assert list(broken(engine)) == []
        with engine.connect() as connection:
            query = "SELECT (SELECT SUM(jobs) FROM telemetry_users), (SELECT COUNT(*) FROM telemetry_jobs)"
            users, runs = connection.execute(sa.text(query)).one()
    assert users == runs > 390
