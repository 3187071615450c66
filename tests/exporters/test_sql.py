"""Storage (T1): snapshots become rows, in whatever order, how often and how many at once they arrive."""

from __future__ import annotations

import itertools
import json
import math
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from threading import Barrier
from typing import Any
from uuid import uuid4

import pytest
from sqlalchemy.engine import Engine

from exporters.rollup.merge import merge
from exporters.rollup.snapshot import SCHEMA_VERSION, USAGE_SUMS, NewerSnapshot, Snapshot
from exporters.sql.database.engine import create_engine, transaction
from exporters.sql.database.fitting import fit
from exporters.sql.database.statements import BULK_ROWS, upsert
from exporters.sql.schema import tables
from exporters.sql.storage import interruptions
from exporters.sql.storage import runs as run_storage
from exporters.sql.storage.intake import claim_intake
from tests.exporters.makers import SECOND, START, Fragment, Host, call, failed_call, moment, visit

# The statements of the writer, with the types of each driver and across a pooler.
EVERY_HOST = True

TABLES = ("telemetry_runs", "telemetry_stage_usage", "telemetry_counters", "telemetry_documents")


def deliver(engine: Engine, *snapshots: Snapshot) -> run_storage.Delivered:
    for snapshot in snapshots:
        delivered = run_storage.deliver(engine, snapshot)
    return delivered


def a_run(run_id: str | None = None, **known: Any) -> Fragment:
    """Return a fragment with calls, retries, documents, stages, errors and counters."""
    known = {"user_id": 1, "candidates": 3, "criteria": 2, "jd_bytes": 10, "jd_characters": 9} | known
    fragment = Fragment(run_id, **known)
    fragment.calls(
        call(),
        call(statuses=("429", "200"), backoff_us=7, retry_after_us=5),
        call("insights"),
        failed_call("x", "500"),
    )
    fragment.documents(
        visit("a.pdf", size=10, characters=5, type="pdf", score=0.85),
        visit("b.pdf", size=20, characters=7, type="pdf", score=0.5),
        visit("c.pdf", size=30, error_type="ValueError"),
    )
    fragment.accumulator.stage_started("ranking", START)
    fragment.accumulator.stage_ended("ranking", START + SECOND)
    fragment.accumulator.error("ranking", "ValueError")
    fragment.accumulator.count("app_retries", 2)
    return fragment


def stored_rows(host: Host) -> dict[str, list[dict[str, Any]]]:
    """Return all rows, without their versions and times of writing."""
    ignored = ("version", "seen_at")
    return {
        table: [
            {name: value for name, value in row.items() if name not in ignored} for row in host.rows(table)
        ]
        for table in TABLES
    }


def test_a_run_becomes_rows(host: Host, engine: Engine) -> None:
    """The rows of a run have the figures of its snapshot."""
    final = a_run(trace_id="f" * 32).close()
    delivered = deliver(engine, final)
    run = host.row("telemetry_runs")
    expected = merge([final])

    assert (delivered.run_id, delivered.status, delivered.user_id) == (final.run_id, "partial_failure", 1)
    assert (run["status"], run["kind"], run["user_ref"], run["candidates"]) == (
        "partial_failure",
        "analysis",
        1,
        3,
    )
    assert (run["started_at"], run["ended_at"]) == (moment(final.opened_at), moment(final.closed_at or 0))
    assert (run["api_calls"], run["attempts"], run["rate_limit_hits"]) == (4, 5, 1)
    assert (run["cost_pico"], run["cost_complete"]) == (3 * 210_000_000, True)
    assert (run["n_documents"], run["n_scored"], run["n_failed"]) == (3, 2, 1)
    assert (float(run["score_avg"]), float(run["score_min"]), run["above_70"]) == (0.675, 0.5, 1)
    assert (run["resume_bytes"], run["resume_characters"], run["resume_characters_max"]) == (60, 12, 7)
    assert json.loads(run["error_types"]) == [{"stage": "ranking", "type": "ValueError", "count": 1}]
    assert (run["trace_id"], run["duration_us"]) == ("f" * 32, expected.duration_us)
    assert host.row("telemetry_counters")["value"] == 2
    scores = sorted(float(row["score"] or 0) for row in host.rows("telemetry_documents"))
    assert scores == [0, 0.5, 0.85]


def test_stage_rows_sum_to_the_run(host: Host, engine: Engine) -> None:
    """The sums are equal to the pico-dollar and the token."""
    deliver(engine, a_run().close())
    run, usage = host.row("telemetry_runs"), host.rows("telemetry_stage_usage")
    calls = [row for row in usage if row["operation"]]

    assert sum(row["calls"] for row in calls) == run["api_calls"]
    for name in set(USAGE_SUMS) & set(run) - {"duration_us"}:
        assert sum(row[name] for row in calls) == run[name], name
    (time,) = (row for row in usage if not row["operation"])
    assert (time["stage"], time["duration_us"], time["calls"]) == ("ranking", 1_000_000, 0)


def test_order_and_repetition_change_nothing(host: Host, engine: Engine) -> None:
    """In whatever order the snapshots of two fragments arrive, the rows are the same in the end."""
    dispatcher, worker = a_run(is_root=True), a_run(is_root=False, user_id=None)
    run_id = dispatcher.accumulator.facts.run_id
    worker.accumulator.update(run_id=run_id)
    opened = dispatcher.snapshot()
    working, final = worker.snapshot(), worker.close()
    snapshots = [opened, dispatcher.close(ends_run=False), working, final]
    deliver(engine, *snapshots)
    expected = stored_rows(host)
    assert expected["telemetry_runs"][0]["api_calls"] == 8

    for arriving in list(itertools.permutations(snapshots))[1::5]:
        for table in (*TABLES, "telemetry_fragments"):
            host.execute(f"DELETE FROM {table}")
        deliver(engine, *arriving, arriving[0])
        assert stored_rows(host) == expected


def test_a_repeated_snapshot_makes_no_new_version(host: Host, engine: Engine) -> None:
    """A new version would be projected into the host's rows again."""
    fragment = a_run()
    old, final = fragment.snapshot(), fragment.close()
    deliver(engine, old, final)
    before = host.row("telemetry_runs")["version"]
    deliver(engine, final, old, final)

    assert host.row("telemetry_runs")["version"] == before


def test_fragments_that_arrive_together_are_both_counted(host: Host) -> None:
    """Two processes deliver fragments of one run at the same time, for a hundred runs."""
    runs = [uuid4().hex for _ in range(100)]
    together = Barrier(2)

    def process(is_root: bool) -> None:
        engine = create_engine(host.url)
        for run_id in runs:
            fragment = Fragment(run_id, is_root=is_root, candidates=1)
            deliver(engine, fragment.snapshot())
            together.wait(30)
            deliver(engine, fragment.calls(call()).close(ends_run=is_root))
        engine.dispose()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(process, (True, False)))

    rows = host.rows("telemetry_runs")
    assert {row["run_id"] for row in rows} == set(runs)
    assert [row["api_calls"] for row in rows] == [2] * 100
    assert [row["status"] for row in rows] == ["completed"] * 100


def test_a_newer_snapshot_withdraws_an_interruption(host: Host, engine: Engine) -> None:
    """A run whose process seemed dead goes on; an older snapshot is no sign of life."""
    fragment = a_run()
    checkpoint = fragment.snapshot()
    deliver(engine, checkpoint)
    assert host.row("telemetry_runs")["status"] == "running"

    (delivered,) = interruptions.interrupt_process(engine, checkpoint.process_id)
    assert delivered.status == host.row("telemetry_runs")["status"] == "interrupted"
    assert interruptions.interrupt_process(engine, "another process") == []

    deliver(engine, checkpoint)
    assert host.row("telemetry_runs")["status"] == "interrupted", "an old state is no sign of life"
    deliver(engine, fragment.snapshot())
    assert host.row("telemetry_runs")["status"] == "running"
    deliver(engine, fragment.close())
    assert host.row("telemetry_runs")["status"] == "partial_failure"
    assert interruptions.interrupt_process(engine, checkpoint.process_id) == [], (
        "what ended cannot be interrupted"
    )


def test_a_checkpoint_from_a_takeover_interrupts_its_run(host: Host, engine: Engine) -> None:
    """Its figures are those of the last checkpoint of the dead process."""
    deliver(engine, a_run().snapshot(interrupted=True))
    run = host.row("telemetry_runs")

    assert (run["status"], run["api_calls"]) == ("interrupted", 4)
    assert run["ended_at"] is not None


def test_values_are_coerced_to_fit_their_columns(host: Host, engine: Engine) -> None:
    """A text that is too long or no UTF-8, or a number too large, is changed and counted."""
    fragment = a_run(subject="s" * 300, candidates=2**40, user_id=2**70)
    fragment.calls(call("st\0age"), call(model="m" * 200), call(model="m\udcffé"))
    fragment.documents(visit("d", type="application/pdf", characters=2**80, error_type="e" * 300))
    final = fragment.close()
    delivered = run_storage.deliver(engine, final)
    run = host.row("telemetry_runs")

    assert (run["subject"], run["candidates"], run["user_ref"]) == ("s" * 255, 2**31 - 1, 2**63 - 1)
    assert {"stage", "m" * 128, "m?é"} <= {
        value for row in host.rows("telemetry_stage_usage") for value in (row["stage"], row["model"])
    }
    (document,) = host.rows("telemetry_documents", type="applicatio")
    assert (document["characters"], document["error_type"]) == (2**63 - 1, "e" * 255)
    assert (
        Counter(delivered.coerced).items()
        >= {
            "telemetry_runs.subject": 1,
            "telemetry_runs.candidates": 1,
            "telemetry_runs.user_ref": 1,
            "telemetry_stage_usage.stage": 1,
            "telemetry_stage_usage.model": 2,
            "telemetry_documents.type": 1,
            "telemetry_documents.characters": 1,
            "telemetry_documents.error_type": 1,
        }.items()
    )


def test_names_that_become_equal_are_added_up(host: Host, engine: Engine) -> None:
    """Two stages whose names are equal once they are cut share a row, and lose nothing."""
    fragment = Fragment(candidates=1).calls(call("s" * 64 + "one"), call("s" * 64 + "other"))
    deliver(engine, fragment.close())

    assert host.row("telemetry_stage_usage")["calls"] == host.row("telemetry_runs")["api_calls"] == 2


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, Decimal("NaN"), Decimal("Infinity")])
@pytest.mark.parametrize("column", ["candidates", "score_avg"])
def test_values_that_are_no_number_become_null(value: float | Decimal, column: str) -> None:
    """NaN would spoil every sum; the change is counted."""
    assert fit(tables.runs, {column: value}) == ({column: None}, (f"telemetry_runs.{column}",))


def test_a_text_in_a_boolean_column_becomes_true() -> None:
    """An older version stored texts there; the change is counted."""
    fitted = fit(tables.documents, {"fallback": "timed out"})

    assert fitted == ({"fallback": True}, ("telemetry_documents.fallback",))


def test_values_that_fit_are_not_changed() -> None:
    """Nothing is counted for them."""
    values = {"candidates": 3, "score_avg": 0.85, "subject": "draft:12", "user_ref": None, "shed": 0}

    assert fit(tables.runs, values) == (values, ())


@pytest.mark.parametrize("count", [1, 3, BULK_ROWS])
def test_upserts_obey_their_condition(host: Host, engine: Engine, count: int) -> None:
    """They do so for any number of rows, with the condition of the current call."""
    table = tables.counters
    names = [str(number) for number in range(count)]

    def store(value: int, below: int) -> None:
        rows = [{"run_id": "r", "name": name, "value": value} for name in names]
        with transaction(engine) as connection:
            upsert(connection, table, rows, where=table.c.value < below)

    store(5, below=0)
    for value, below, kept in ((6, 5, 5), (7, 6, 7), (8, 7, 7)):
        store(value, below)
        assert [row["value"] for row in host.rows("telemetry_counters")] == [kept] * count


def test_a_run_of_a_newer_version_is_not_changed(host: Host, engine: Engine) -> None:
    """Its sums would be wrong, if fragments of that version could not be read."""
    root = a_run()
    deliver(engine, root.snapshot())
    before = stored_rows(host)
    host.execute(
        "UPDATE telemetry_fragments SET state = replace(state, :this, :newer)",
        this=f'"schema":{SCHEMA_VERSION}',
        newer='"schema":99',
    )
    other = Fragment(root.accumulator.facts.run_id, is_root=False)

    with pytest.raises(NewerSnapshot):
        deliver(engine, other.snapshot())
    assert stored_rows(host) == before


# Intake


def intake(subject: str = "draft:1", **known: Any) -> Snapshot:
    return Fragment(kind="intake", subject=subject, user_id=1, **known).calls(call()).close()


def analysis(analysis_id: int, subject: str = "draft:1", start: int = 100, user_id: int = 1) -> Snapshot:
    fragment = Fragment(subject=subject, user_id=user_id, opened_at=START + start * SECOND, candidates=1)
    return fragment.calls(call()).close(analysis_id=analysis_id)


def arrive(engine: Engine, *snapshots: Snapshot) -> list[str]:
    claimed = []
    for snapshot in snapshots:
        deliver(engine, snapshot)
        claimed += claim_intake(engine, snapshot.run_id)
    return claimed


def charged(host: Host) -> dict[str, int | None]:
    return {row["run_id"]: row["analysis_ref"] for row in host.rows("telemetry_runs", kind="intake")}


@pytest.mark.parametrize("intake_first", [True, False])
def test_intake_is_charged_to_its_analysis(host: Host, engine: Engine, intake_first: bool) -> None:
    """It belongs to the analysis of its subject, whichever of the two arrives first."""
    before, after = intake(), analysis(5)
    claimed = arrive(engine, *((before, after) if intake_first else (after, before)))

    assert claimed == [before.run_id]
    assert charged(host) == {before.run_id: 5}


def test_intake_is_charged_once(host: Host, engine: Engine) -> None:
    """The intake of a draft that is analysed twice belongs to the first analysis."""
    before, first, second = intake(), analysis(5), analysis(6, start=200)
    arrive(engine, before, first, second)
    arrive(engine, before, second)

    assert charged(host) == {before.run_id: 5}


def test_intake_is_charged_to_the_analysis_that_began_first(host: Host, engine: Engine) -> None:
    """The order of their arrival does not matter."""
    before, first, second = intake(), analysis(5), analysis(6, start=200)
    arrive(engine, second, first, before)

    assert charged(host) == {before.run_id: 5}


@pytest.mark.parametrize("is_last", ["first", "intake"])
def test_intake_moves_to_the_first_analysis_when_that_arrives_late(
    host: Host, engine: Engine, is_last: str
) -> None:
    """A process that was faster with a later analysis had charged it to that one."""
    before, first, second = intake(), analysis(5), analysis(6, start=200)
    arrive(engine, before, second)
    assert charged(host) == {before.run_id: 6}
    arrive(engine, *((first,) if is_last == "first" else (first, before)))

    assert charged(host) == {before.run_id: 5}


def test_intake_that_the_application_linked_stays_linked(host: Host, engine: Engine) -> None:
    """It does not matter which analysis of the draft was first."""
    linked = intake(analysis_id=6)
    arrive(engine, linked, analysis(6, start=200), analysis(5))

    assert charged(host) == {linked.run_id: 6}


@pytest.mark.parametrize("other", [{"subject": "draft:2"}, {"user_id": 2}])
def test_intake_is_not_charged_across_subjects_and_users(
    host: Host, engine: Engine, other: dict[str, Any]
) -> None:
    """Draft and user must both be the same."""
    before = intake()
    arrive(engine, before, analysis(5, **other))

    assert charged(host) == {before.run_id: None}


def test_intake_without_an_analysis_waits(host: Host, engine: Engine) -> None:
    """The draft was never analysed, or the id of its analysis is not known yet."""
    before = intake()
    unlinked = Fragment(subject="draft:1", user_id=1, candidates=1)
    arrive(engine, before, unlinked.snapshot())
    assert charged(host) == {before.run_id: None}

    arrive(engine, unlinked.close(analysis_id=5))
    assert charged(host) == {before.run_id: 5}


def test_a_charge_survives_a_late_fragment(host: Host, engine: Engine) -> None:
    """A fragment of the intake that arrives after the charge does not undo it."""
    before = intake()
    arrive(engine, before, analysis(5))
    late = Fragment(
        before.run_id, kind="intake", is_root=False, closed_at=START, subject="draft:1", user_id=1
    )
    delivered = deliver(engine, late.calls(call()).snapshot())

    assert charged(host) == {before.run_id: 5}
    assert delivered.analysis_id == 5


def test_intake_and_analysis_that_arrive_together_are_connected(host: Host) -> None:
    """Two processes deliver them at the same moment, for twenty subjects."""
    together = Barrier(2)

    def process(kind: str) -> None:
        engine = create_engine(host.url)
        for number in range(20):
            subject = f"draft:{number}"
            snapshot = intake(subject) if kind == "intake" else analysis(number, subject)
            together.wait(30)
            arrive(engine, snapshot)
        engine.dispose()

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(process, ("intake", "analysis")))

    assert sorted(charged(host).values(), key=str) == sorted(range(20), key=str)
