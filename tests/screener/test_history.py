"""The generated history: deterministic, consistent, and shaped like a real one."""

from __future__ import annotations

from collections import Counter
from datetime import date, timedelta

import pytest
import sqlalchemy as sa

from examples.screener.history.history import History
from examples.screener.history.writing import write
from exporters.integrity.validation import broken
from exporters.sql.schema import migrate
from tests.migrations.databases import engine_of

END = date(2026, 11, 25)
ANALYSES = 3000
OWNERS = "SELECT MIN(user_ref), MAX(user_ref) FROM telemetry_runs"
USER = """
    INSERT INTO users (email, password_hash, name, created_at)
    VALUES ('someone@example.com', '!', 'Someone', now())
"""


@pytest.fixture(scope="module")
def jobs() -> list[dict[str, object]]:
    return [job.run for job in History(ANALYSES, END).jobs()]


def test_history_is_determined_by_its_seed() -> None:
    """Another seed gives another history."""
    first, again, other = (list(History(200, END, seed).jobs()) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_history_has_the_requested_number_of_jobs_in_order(jobs: list[dict[str, object]]) -> None:
    """They range from three years ago until yesterday."""
    times = [job["started_at"] for job in jobs]
    assert len(jobs) in (ANALYSES, ANALYSES - 1)
    assert times == sorted(times)  # type: ignore[type-var]
    days = [time.date() for time in times]  # type: ignore[attr-defined]
    assert END - timedelta(days=3 * 365) <= days[0] and days[-1] < END


def test_history_is_shaped_like_a_real_one(jobs: list[dict[str, object]]) -> None:
    """It grows over the years, is low at weekends, has a few failures, and batches of every size."""
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


def test_history_is_consistent(database_url: str) -> None:
    """On either database no integrity rule is broken, and users have their totals."""
    migrate.upgrade(database_url, with_base_tables=True)
    with engine_of(database_url) as engine:
        write(engine, History(400, END))
        assert list(broken(engine)) == []
        with engine.connect() as connection:
            query = "SELECT (SELECT SUM(jobs) FROM telemetry_users), (SELECT COUNT(*) FROM telemetry_jobs)"
            users, runs = connection.execute(sa.text(query)).one()
    assert users == runs > 390


def test_history_keeps_what_is_there(postgres_url: str) -> None:
    """Beside a user and an analysis of an application, which goes on with ids of its own."""
    migrate.upgrade(postgres_url, with_base_tables=True)
    with engine_of(postgres_url) as engine:
        with engine.begin() as connection:
            connection.execute(sa.text(USER))
        write(engine, History(50, END))
        with engine.begin() as connection:
            first, last = connection.execute(sa.text("SELECT MIN(id), MAX(id) FROM users")).one()
            connection.execute(sa.text(USER.replace("@", "@other.")))
            new = connection.execute(sa.text("SELECT MAX(id) FROM users")).scalar()
            owners = connection.execute(sa.text(OWNERS)).one()
        assert list(broken(engine)) == []

    assert first < owners[0] and owners[1] <= last
    assert new == last + 1
