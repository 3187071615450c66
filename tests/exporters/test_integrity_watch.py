"""The gauge of broken rules: one process checks now and then, and the one that exports gauges reports it."""

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

from exporters.integrity.rules import RULES
from exporters.integrity.watch import IntegrityWatch
from telemetry import conventions as c
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.exporters.makers import Host
from tests.waiting import until

HOSTS = ("sqlite", "psycopg2", "psycopg", "pgbouncer")
# One process at a time: locks are held differently by each, and by no session behind a pooler.
EVERY_HOST = True


def shown(reader: InMemoryMetricReader) -> dict[str, int]:
    """Return the values of the gauge, by rule."""
    data = reader.get_metrics_data()
    values: dict[str, int] = {}
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                if metric.name == c.INTEGRITY_VIOLATIONS.name:
                    points: Any = metric.data.data_points
                    values |= {point.attributes["check"]: point.value for point in points}
    return values


@contextmanager
def checks_made() -> Iterator[list[str]]:
    """Yield the statements with which this process checks the rules."""
    statements: list[str] = []

    def noted(_: Any, __: Any, statement: str, *___: Any) -> None:
        if "COUNT(CASE WHEN above_70" in statement:
            statements.append(statement)

    sa.event.listen(Engine, "before_cursor_execute", noted)
    try:
        yield statements
    finally:
        sa.event.remove(Engine, "before_cursor_execute", noted)


def make_it_due(watch: IntegrityWatch) -> None:
    """End the time in which a new process only reads."""
    watch._due = watch._may_check_at = 0.0


def counts_after_check(watch: IntegrityWatch) -> dict[str, int]:
    """Make it check, wait until it has, and return the counts."""
    make_it_due(watch)
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


def test_the_process_that_exports_gauges_reports_every_rule(host: Host, tmp_path: Path) -> None:
    """The gauge shows the rows that break each rule, also while the process has no run."""
    break_a_rule(host)
    reader = InMemoryMetricReader()
    meters = MeterProvider([reader], shutdown_on_exit=False)
    settings = Settings(
        database_url=host.url, spool_dir=tmp_path, hmac_key="k", integrity_seconds=0.1, gauges_seconds=1
    )
    provider = TracerProvider(shutdown_on_exit=False)
    with recording(settings, provider, meter_provider=meters):
        until(lambda: shown(reader) != {})
        expected = dict.fromkeys((rule.name for rule in RULES), 0) | {"times_of_runs": 1}
        assert shown(reader) == expected
    meters.shutdown()
    until(lambda: threads() == [])


def test_one_process_checks_and_all_report(host: Host) -> None:
    """Several processes show the same; the rules are checked once in the configured time."""
    break_a_rule(host)
    settings = Settings(database_url=host.url, integrity_seconds=3600)
    with checks_made() as statements:
        reports = [counts_after_check(IntegrityWatch(settings)) for _ in range(3)]
    assert [report["times_of_runs"] for report in reports] == [1, 1, 1]
    assert len(statements) == 1


def test_only_one_of_several_processes_checks_at_a_time(host: Host) -> None:
    """The first takes the check; the others try again later."""
    watches = [IntegrityWatch(Settings(database_url=host.url, integrity_seconds=3600)) for _ in range(4)]
    with checks_made() as statements:
        for watch in watches:
            make_it_due(watch)
            watch.look()
        for watch in watches:
            assert watch._thread is not None
            watch._thread.join(30)
        assert all(counts_after_check(watch) for watch in watches)
    assert len(statements) == 1


def test_an_old_result_is_checked_again(host: Host) -> None:
    """After the configured time a new violation shows."""
    watch = IntegrityWatch(Settings(database_url=host.url, integrity_seconds=1))
    assert counts_after_check(watch)["times_of_runs"] == 0
    break_a_rule(host)
    until(lambda: counts_after_check(watch)["times_of_runs"] == 1)


def test_a_new_process_reads_the_last_result_at_once(host: Host) -> None:
    """It does not check before it has lived for a while, so that short-lived processes never do."""
    first = IntegrityWatch(Settings(database_url=host.url, integrity_seconds=3600))
    known = counts_after_check(first)
    with checks_made() as statements:
        second = IntegrityWatch(Settings(database_url=host.url, integrity_seconds=3600))
        second.look()
        assert second._thread is not None
        second._thread.join(30)
        assert {labels["check"]: count for labels, count in second.counts()} == known
    assert not statements


def test_no_thread_starts_while_the_result_is_recent(host: Host) -> None:
    """A call between two checks does nothing."""
    watch = IntegrityWatch(Settings(database_url=host.url, integrity_seconds=3600))
    counts_after_check(watch)
    thread = watch._thread
    watch.look()
    assert watch._thread is thread


def test_the_watch_can_be_switched_off(host: Host) -> None:
    """With 0 seconds nothing is checked or reported."""
    assert counts_after_check(IntegrityWatch(Settings(database_url=host.url, integrity_seconds=0))) == {}


@pytest.mark.parametrize("host", ["sqlite"], indirect=True)
def test_a_forked_child_does_not_report_its_parents_result(host: Host) -> None:
    """Its parent goes on reporting it; the child does not report zero either."""
    watch = IntegrityWatch(Settings(database_url=host.url, integrity_seconds=3600))
    assert counts_after_check(watch)
    watch.after_fork()
    assert list(watch.counts()) == []


def test_a_failed_check_keeps_the_last_result(host: Host) -> None:
    """A missing table is no internal error, and the next check comes in time."""
    watch = IntegrityWatch(Settings(database_url=host.url, integrity_seconds=1))
    known = counts_after_check(watch)
    host.execute("ALTER TABLE telemetry_found RENAME TO renamed")
    assert counts_after_check(watch) == known
    host.execute("ALTER TABLE renamed RENAME TO telemetry_found")
    break_a_rule(host)
    until(lambda: counts_after_check(watch)["times_of_runs"] == 1)
