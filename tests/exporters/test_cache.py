"""The cache of the readers keeps results for a time: never for other arguments, an error or a check."""

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
from tests.exporters.makers import SECOND, Fragment, Host, call
from tests.waiting import until

HOSTS = ("sqlite", "psycopg2")


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Empty the cache before and after each test."""
    cache.clear()
    yield
    cache.clear()


@pytest.fixture
def settings(host: Host) -> Settings:
    return Settings(database_url=host.url, hmac_key="k", cache_seconds=600, rate_limited_jobs=0)


def now_ns() -> int:
    return int(datetime.now(UTC).timestamp()) * SECOND


def add_jobs(host: Host, *ids: str, hits: int = 0) -> None:
    """Insert jobs of today, as another process would."""
    for run_id in ids:
        values = {"run_id": run_id, "started_at": datetime.now(UTC).replace(tzinfo=None)}
        known = {"kind": "analysis", "source": "spans", "synthetic": False, "cost_complete": True}
        host.insert("telemetry_runs", **values, **known, version=1, status="completed", rate_limit_hits=hits)


def jobs_of(settings: Settings, **selection: Any) -> int:
    with Export(settings.database_url, settings.cache_seconds, **selection) as jobs:
        return len(list(jobs.rows()))


def count_of(settings: Settings) -> int:
    with Export(settings.database_url, settings.cache_seconds) as jobs:
        return jobs.count()


READERS: dict[str, Callable[[Settings], Any]] = {
    "report": lambda settings: report(settings, 7).jobs,
    "insights": lambda settings: [finding.figures for finding in insights(settings)],
    "export": jobs_of,
    "count": count_of,
}


@pytest.mark.parametrize("reader", READERS)
def test_a_result_is_cached(host: Host, settings: Settings, reader: str) -> None:
    """It is kept for as long as the setting says; with 0 nothing is cached."""
    ask = READERS[reader]
    add_jobs(host, "1", hits=1)
    before = ask(settings)
    add_jobs(host, "2", hits=1)
    assert ask(settings) == before
    assert ask(replace(settings, cache_seconds=0)) != before


@pytest.mark.parametrize("reader", READERS)
def test_a_cached_result_expires(host: Host, settings: Settings, reader: str) -> None:
    """Then changes by other processes show."""
    ask, brief = READERS[reader], replace(settings, cache_seconds=0.3)
    before = ask(brief)
    add_jobs(host, "1", hits=1)
    until(lambda: ask(brief) != before)


@pytest.mark.parametrize("reader", READERS)
def test_a_run_that_ends_in_this_process_shows_at_once(
    host: Host, engine: Engine, settings: Settings, reader: str
) -> None:
    """Its delivery empties the cache; the snapshot of a run under way does not."""
    ask = READERS[reader]
    before = ask(settings)
    fragment = Fragment(opened_at=now_ns()).calls(call(statuses=("429", "200")))
    run_storage.deliver(engine, fragment.snapshot())
    assert ask(settings) == before
    run_storage.deliver(engine, fragment.close())
    assert ask(settings) != before


def test_each_argument_is_part_of_the_cache_key(host: Host, settings: Settings) -> None:
    """No reader gets the result for other arguments."""
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
        Export(settings.database_url, 600, with_emails=True) as with_emails,
    ):
        assert "email" not in next(plain.rows())
        assert "email" in next(with_emails.rows())


def test_thresholds_are_part_of_the_cache_key(host: Host, settings: Settings) -> None:
    """Settings that differ have results of their own."""
    add_jobs(host, "1", hits=1)
    assert insights(settings) != insights(replace(settings, rate_limited_jobs=5))


def test_changing_a_result_does_not_change_the_cache(host: Host, settings: Settings) -> None:
    """Every caller gets an object of its own."""
    add_jobs(host, "1")
    report(settings, 7).latest.clear()
    assert len(report(settings, 7).latest) == 1


def test_validate_is_never_cached(host: Host, settings: Settings) -> None:
    """It reads the database each time."""
    add_jobs(host, "1")
    report(settings, 7)
    assert validate(settings.database_url) == []
    host.execute("UPDATE telemetry_runs SET duration_us = -1")
    assert [violation.rule.name for violation in validate(settings.database_url)] == ["times_of_runs"]


def test_an_error_is_not_cached(host: Host, settings: Settings) -> None:
    """The next call reads the database again."""
    add_jobs(host, "1")
    host.execute("ALTER TABLE telemetry_runs RENAME TO renamed")
    with pytest.raises(SQLAlchemyError):
        report(settings, 7)
    host.execute("ALTER TABLE renamed RENAME TO telemetry_runs")
    assert report(settings, 7).jobs == 1


@pytest.mark.parametrize("host", ["sqlite"], indirect=True)
def test_only_the_first_chunk_of_a_long_export_is_cached(host: Host, settings: Settings) -> None:
    """The other chunks, and new rows with them, are read from the database."""
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
def test_memory_is_bounded(questions: list[tuple[int, bytes]]) -> None:
    """However many questions come, and however long the answers are: all are right, and few are kept."""
    cache = Cache(most_bytes=500)
    first: dict[int, bytes] = {}
    for question, answer in questions:
        first.setdefault(question, answer)
        assert cache.get(question, 60, lambda known=first[question]: known) == first[question]  # type: ignore[misc]
        assert cache._kept is not None
        assert cache._kept.currsize <= 500


def test_a_result_that_was_begun_before_the_cache_was_emptied_is_not_kept() -> None:
    """A query that is under way when a run ends does not include that run."""
    cache, numbers = Cache(), count()

    def ask() -> int:
        number = next(numbers)
        if number == 0:
            cache.clear()  # as the writer's thread does meanwhile
        return number

    assert [cache.get("q", 60, ask) for _ in range(3)] == [0, 1, 1]


def test_threads_get_the_results_of_their_own_questions() -> None:
    """No thread gets the result of another, though the cache is emptied meanwhile."""
    cache = Cache(most_bytes=2000)

    def ask(number: int) -> bool:
        if number % 97 == 0:
            cache.clear()
        return cache.get(number % 50, 60, lambda: str(number % 50) * 20) == str(number % 50) * 20

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(5000)))


def _ask_in_child(connection: Any) -> None:
    connection.send(cache.get("q", 60, lambda: "child"))


def test_a_child_forked_while_the_cache_is_locked_has_a_free_empty_cache() -> None:
    """The child has a lock of its own, and no results."""
    assert cache.get("q", 60, lambda: "parent") == "parent"
    receiver, sender = multiprocessing.Pipe()
    with cache._lock:
        child = multiprocessing.get_context("fork").Process(target=_ask_in_child, args=(sender,))
        child.start()
    assert receiver.poll(10) and receiver.recv() == "child"
    child.join(60)
    assert child.exitcode == 0
