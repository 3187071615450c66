"""The gauge of contradictions: one process looks now and then, all tell it, and none more than that."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from sqlalchemy.engine import Engine

import telemetry
from exporters.integrity.rules import RULES
from exporters.integrity.watch import IntegrityWatch
from telemetry import conventions as c
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.exporters.makers import Host, until

HOSTS = ("sqlite", "psycopg2", "psycopg", "pgbouncer")
# One process at a time: locks are held differently by each, and by no session behind a pooler.
EVERY_HOST = True


def shown(reader: InMemoryMetricReader) -> dict[str, int]:
    """What the gauge shows, by check."""
    data = reader.get_metrics_data()
    found: dict[str, int] = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.name == c.INTEGRITY_VIOLATIONS.name:
                    points: Any = metric.data.data_points
                    found |= {point.attributes["check"]: point.value for point in points}
    return found


@contextmanager
def looks() -> Iterator[list[str]]:
    """The times that the rules are asked, by anybody in this process."""
    found: list[str] = []

    def noted(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "COUNT(CASE WHEN above_70" in statement:
            found.append(statement)

    sa.event.listen(Engine, "before_cursor_execute", noted)
    try:
        yield found
    finally:
        sa.event.remove(Engine, "before_cursor_execute", noted)


def settled(watch: IntegrityWatch) -> dict[str, int]:
    """Have it look, wait for it, and return what it found."""
    watch._due = 0.0
    watch.look()
    if watch._thread is not None:
        watch._thread.join(30)
    return {labels["check"]: count for labels, count in watch.counts()}


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name == "telemetry-integrity"]


def break_a_rule(host: Host) -> None:
    host.execute(
        "INSERT INTO telemetry_runs"
        " (run_id, kind, source, synthetic, version, status, cost_complete, duration_us)"
        " VALUES ('r', 'analysis', 'spans', FALSE, 1, 'completed', FALSE, -1)"
    )


def test_a_process_that_works_shows_it(host: Host, tmp_path: Path) -> None:
    """From its first runs on, each check with the rows that break it; nothing before anybody looked."""
    break_a_rule(host)
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    settings = Settings(
        database_url=host.url, spool_dir=tmp_path, hmac_key="k", integrity_seconds=0.1, checkpoint_seconds=0.1
    )
    provider = TracerProvider(shutdown_on_exit=False)
    with recording(settings, provider, meter_provider=meters):
        assert shown(reader) == {} and threads() == []
        with telemetry.run("analysis"):
            until(lambda: shown(reader) != {}, 30)
        expected = dict.fromkeys((rule.name for rule in RULES), 0) | {"times_of_runs": 1}
        assert shown(reader) == expected
    meters.shutdown()
    until(lambda: threads() == [])


def test_one_looks_and_all_tell(host: Host) -> None:
    """Several processes show the same; the rules are asked once in the time that is set."""
    break_a_rule(host)
    settings = Settings(database_url=host.url, integrity_seconds=3600)
    with looks() as asked:
        told = [settled(IntegrityWatch(settings)) for _ in range(3)]
    assert [each["times_of_runs"] for each in told] == [1, 1, 1]
    assert len(asked) == 1


def test_at_the_same_moment(host: Host) -> None:
    """One of them looks, whoever comes first; the others try again later."""
    watches = [IntegrityWatch(Settings(database_url=host.url, integrity_seconds=3600)) for _ in range(4)]
    with looks() as asked:
        for watch in watches:
            watch._due = 0.0
            watch.look()
        for watch in watches:
            assert watch._thread is not None
            watch._thread.join(30)
        assert all(settled(watch) for watch in watches)
    assert len(asked) == 1


def test_it_is_looked_at_again(host: Host) -> None:
    """When what is known is old."""
    watch = IntegrityWatch(Settings(database_url=host.url, integrity_seconds=1))
    assert settled(watch)["times_of_runs"] == 0
    break_a_rule(host)
    until(lambda: settled(watch)["times_of_runs"] == 1)


def test_not_at_every_call(host: Host) -> None:
    """Between two looks no thread starts."""
    watch = IntegrityWatch(Settings(database_url=host.url, integrity_seconds=3600))
    settled(watch)
    thread = watch._thread
    watch.look()
    assert watch._thread is thread


def test_it_can_be_off(host: Host) -> None:
    """0: nobody looks, and nothing is shown."""
    assert settled(IntegrityWatch(Settings(database_url=host.url, integrity_seconds=0))) == {}


@pytest.mark.parametrize("host", ["sqlite"], indirect=True)
def test_a_child_has_not_looked(host: Host) -> None:
    """It does not repeat what its parent goes on reporting, nor call it zero."""
    watch = IntegrityWatch(Settings(database_url=host.url, integrity_seconds=3600))
    assert settled(watch)
    watch.after_fork()
    assert list(watch.counts()) == []


def test_a_database_that_is_away_or_too_old(host: Host) -> None:
    """What was known stays; nothing is an internal error, and the next look comes."""
    watch = IntegrityWatch(Settings(database_url=host.url, integrity_seconds=1))
    known = settled(watch)
    host.execute("ALTER TABLE telemetry_found RENAME TO away")
    assert settled(watch) == known
    host.execute("ALTER TABLE away RENAME TO telemetry_found")
    break_a_rule(host)
    until(lambda: settled(watch)["times_of_runs"] == 1)
