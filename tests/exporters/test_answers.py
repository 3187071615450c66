"""Answers are remembered for a time: never another question's, never an error, and never a check's."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from exporters.export.jobs import CHUNK, Export
from exporters.findings.insights import insights
from exporters.integrity.validation import validate
from exporters.reports import report
from exporters.reports.cache import Cache, cache
from exporters.sql.storage import runs as run_storage
from telemetry.settings import Settings
from tests.exporters.makers import SECOND, Fragment, Host, call, until

HOSTS = ("sqlite", "psycopg2")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """What one test was told is not what another is."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def settings(host: Host) -> Settings:
    return Settings(database_url=host.url, hmac_key="k", cache_seconds=600, rate_limited_jobs=0)


def now_ns() -> int:
    return int(datetime.now(UTC).timestamp()) * SECOND


def add_jobs(host: Host, *ids: str, hits: int = 0) -> None:
    """Put jobs of today where another process would have."""
    for each in ids:
        values = {"run_id": each, "started_at": datetime.now(UTC).replace(tzinfo=None)}
        known = {"kind": "analysis", "source": "spans", "synthetic": False, "cost_complete": True}
        host.insert("telemetry_runs", **values, **known, version=1, status="completed", rate_limit_hits=hits)


def jobs_of(settings: Settings, **selection: Any) -> int:
    with Export(settings.database_url, settings.cache_seconds, **selection) as jobs:
        return len(list(jobs.rows()))


def count_of(settings: Settings) -> int:
    with Export(settings.database_url, settings.cache_seconds) as jobs:
        return jobs.count()


DOORS: dict[str, Callable[[Settings], Any]] = {
    "report": lambda settings: report(settings, 7).jobs,
    "insights": lambda settings: [each.figures for each in insights(settings)],
    "export": jobs_of,
    "count": count_of,
}


@pytest.mark.parametrize("door", DOORS)
def test_an_answer_is_remembered(host: Host, settings: Settings, door: str) -> None:
    """For as long as the setting says; 0 always asks."""
    ask = DOORS[door]
    add_jobs(host, "1", hits=1)
    before = ask(settings)
    add_jobs(host, "2", hits=1)
    assert ask(settings) == before
    assert ask(replace(settings, cache_seconds=0)) != before


@pytest.mark.parametrize("door", DOORS)
def test_it_expires(host: Host, settings: Settings, door: str) -> None:
    """Then the news of other processes are in it."""
    ask, brief = DOORS[door], replace(settings, cache_seconds=0.3)
    before = ask(brief)
    add_jobs(host, "1", hits=1)
    until(lambda: ask(brief) != before)


@pytest.mark.parametrize("door", DOORS)
def test_a_run_that_ends_here_is_in_the_next_answer(
    host: Host, engine: Engine, settings: Settings, door: str
) -> None:
    """What this process delivers, it does not wait for; a run that only goes on is no such news."""
    ask = DOORS[door]
    before = ask(settings)
    fragment = Fragment(opened_at=now_ns()).calls(call(statuses=("429", "200")))
    run_storage.deliver(engine, fragment.snapshot())
    assert ask(settings) == before
    run_storage.deliver(engine, fragment.close())
    assert ask(settings) != before


def test_every_argument_counts(host: Host, settings: Settings) -> None:
    """Nobody gets the answer of another question."""
    add_jobs(host, "1")
    tomorrow = datetime.now(UTC).replace(tzinfo=None) + timedelta(days=1)
    assert report(settings, 7).jobs == 1
    with pytest.raises(LookupError, match="analysis 5"):
        report(settings, 7, analysis_id=5)
    assert report(settings, 8).first != report(settings, 7).first
    assert (jobs_of(settings), jobs_of(settings, since=tomorrow)) == (1, 0)
    assert jobs_of(settings, batch_size="large") == 0
    with (
        Export(settings.database_url, 600) as plain,
        Export(settings.database_url, 600, with_emails=True) as told,
    ):
        assert "email" not in next(plain.rows())
        assert "email" in next(told.rows())


def test_thresholds_count(host: Host, settings: Settings) -> None:
    """Settings that differ ask a question of their own."""
    add_jobs(host, "1", hits=1)
    assert insights(settings) != insights(replace(settings, rate_limited_jobs=5))


def test_what_is_given_may_be_changed(host: Host, settings: Settings) -> None:
    """It belongs to whoever asked."""
    add_jobs(host, "1")
    report(settings, 7).latest.clear()
    assert len(report(settings, 7).latest) == 1


def test_validate_is_never_stale(host: Host, settings: Settings) -> None:
    """It looks each time."""
    add_jobs(host, "1")
    report(settings, 7)
    assert validate(settings.database_url) == []
    host.execute("UPDATE telemetry_runs SET duration_us = -1")
    assert [each.rule.name for each in validate(settings.database_url)] == ["times_of_runs"]


def test_an_error_is_not_remembered(host: Host, settings: Settings) -> None:
    """The next one asks again."""
    add_jobs(host, "1")
    host.execute("ALTER TABLE telemetry_counters RENAME TO away")
    with pytest.raises(SQLAlchemyError):
        report(settings, 7)
    host.execute("ALTER TABLE away RENAME TO telemetry_counters")
    assert report(settings, 7).jobs == 1


@pytest.mark.parametrize("host", ["sqlite"], indirect=True)
def test_a_long_export_is_not_kept(host: Host, settings: Settings) -> None:
    """Of many chunks the first is; the others, and with them what is new, are asked for."""
    numbers = count()
    with host.engine.begin() as connection:
        for _ in range(CHUNK + 1):
            connection.exec_driver_sql(
                """INSERT INTO telemetry_runs
                (run_id, kind, source, synthetic, version, status, cost_complete, started_at)
                VALUES (?, 'analysis', 'spans', 0, 1, 'completed', 1, '2026-09-01 00:00:00.000000')""",
                (f"{next(numbers):032}",),
            )
    with Export(settings.database_url, 600) as jobs:
        assert len(list(jobs.rows())) == CHUNK + 1
    add_jobs(host, "later")
    with Export(settings.database_url, 600) as jobs:
        assert len(list(jobs.rows())) == CHUNK + 2


@given(st.lists(st.tuples(st.integers(0, 20), st.binary(max_size=400)), max_size=60))
def test_memory_is_bounded(asked: list[tuple[int, bytes]]) -> None:
    """However much is asked, and however long the answers are, each is right and few are kept."""
    found = Cache(most_bytes=500)
    first: dict[int, bytes] = {}
    for question, answer in asked:
        first.setdefault(question, answer)
        assert found.get(question, 60, lambda known=first[question]: known) == first[question]  # type: ignore[misc]
        assert found._kept is not None
        assert found._kept.currsize <= 500


def test_what_was_asked_before_the_news_is_not_kept() -> None:
    """An answer that is under way when a run ends does not know of it."""
    found, numbers = Cache(), count()

    def ask() -> int:
        number = next(numbers)
        if number == 0:
            found.clear()  # as the writer's thread does meanwhile
        return number

    assert [found.get("q", 60, ask) for _ in range(3)] == [0, 1, 1]


def test_many_threads() -> None:
    """Each question has its own answer, whoever asks at the same time."""
    found = Cache(most_bytes=2000)

    def ask(number: int) -> bool:
        if number % 97 == 0:
            found.clear()
        return found.get(number % 50, 60, lambda: str(number % 50) * 20) == str(number % 50) * 20

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(5000)))


def _ask_in_child(connection: Any) -> None:
    connection.send(cache.get("q", 60, lambda: "child"))


def test_a_fork_while_somebody_asks() -> None:
    """The child has a lock of its own, and no answers."""
    assert cache.get("q", 60, lambda: "parent") == "parent"
    mine, theirs = multiprocessing.Pipe()
    with cache._lock:
        child = multiprocessing.get_context("fork").Process(target=_ask_in_child, args=(theirs,))
        child.start()
    assert mine.poll(10) and mine.recv() == "child"
    child.join(60)
    assert child.exitcode == 0
