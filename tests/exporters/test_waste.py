"""Classes of spending: every run is in one class, and the classes add up to the total."""

from __future__ import annotations

import re
import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from exporters.reports.lines import WASTE
from exporters.sql.schema import migrate, tables
from exporters.sql.storage.intake import claim_intake
from exporters.sql.storage.runs import deliver
from telemetry.conventions import KINDS, RUNNING, TERMINAL_STATUSES
from tests.exporters.makers import SECOND, SOME_HOSTS, START, Fragment, Host, call, moment, visit
from tests.exporters.spent import CLASSES, Spend, spend

HOSTS = SOME_HOSTS

HOUR = 3600 * SECOND
VIEWS = {"telemetry_run_spend", "telemetry_spend", "telemetry_analysis_spend"}


class Runs:
    """Delivers runs an hour apart, with costs of which no two sums are equal."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.cost = 1
        self.hours = 0

    def add(self, kind: str = "analysis", status: str = "completed", **known: Any) -> int:
        """Deliver a run; return what it cost."""
        self.cost *= 3
        self.hours += 1
        fragment = Fragment(kind=kind, opened_at=START + self.hours * HOUR, **known)
        fragment.calls(call(pico=self.cost)).documents(visit("a.pdf", score=0.9), visit("b.pdf", score=0.2))
        snapshot = fragment.snapshot() if status == RUNNING else fragment.close(status)
        claim_intake(self.host.engine, deliver(self.host.engine, snapshot).run_id)
        return self.cost

    def spend(self, *period: datetime) -> Spend:
        with self.host.engine.connect() as connection:
            return spend(connection, *period)


@pytest.fixture
def runs(host: Host) -> Runs:
    return Runs(host)


def only(**pico: int) -> dict[str, int]:
    """Return the spending by class, which is 0 for all classes that are not given."""
    return dict.fromkeys(CLASSES, 0) | pico


def test_unsuccessful_runs_have_classes_by_status(runs: Runs) -> None:
    """The kind of the run does not matter; runs under way have a class of their own."""
    good = runs.add()
    statuses = ("failed", "cancelled", "interrupted", "running")
    bad = {
        status: sum(runs.add(kind, status) for kind in ("analysis", "intake", "late")) for status in statuses
    }

    assert runs.spend().pico == only(useful=good, **bad)
    assert runs.spend().wasted == bad["failed"] + bad["cancelled"] + bad["interrupted"]


@pytest.mark.parametrize("shared", [{"analysis_id": 1}, {"subject": "draft:1", "user_id": 1}])
def test_the_last_of_repeated_analyses_is_useful(runs: Runs, shared: dict[str, Any]) -> None:
    """Earlier analyses of the same draft or row are `repeated`."""
    first, second, third = (runs.add(**shared) for _ in range(3))

    assert runs.spend().pico == only(repeated=first + second, useful=third)


def test_a_failed_repetition_leaves_the_first_analysis_useful(runs: Runs) -> None:
    """Its result is still the one that counts."""
    first, failed = runs.add(analysis_id=1), runs.add(analysis_id=1, status="failed")

    assert runs.spend().pico == only(useful=first, failed=failed)


def test_one_of_two_simultaneous_analyses_is_useful(runs: Runs) -> None:
    """Their times are equal, but only one of them can be the result."""
    costs = {runs.add(analysis_id=1), runs.add(analysis_id=1)}
    runs.host.execute("UPDATE telemetry_runs SET started_at = '2026-10-01'")

    pico = runs.spend().pico

    assert {pico["useful"], pico["repeated"]} == costs


def test_equal_subjects_of_different_users_are_not_repetitions(runs: Runs) -> None:
    """Neither are analyses without a subject or a row."""
    costs = [
        runs.add(subject="draft:1", user_id=1),
        runs.add(subject="draft:1", user_id=2),
        runs.add(),
        runs.add(),
    ]

    assert runs.spend().pico == only(useful=sum(costs))


@pytest.mark.parametrize("second_is_gone", [False, True])
def test_an_analysis_with_a_reused_id_is_no_repetition(runs: Runs, second_is_gone: bool) -> None:
    """SQLite gives the id of a deleted row to a new one, which may be deleted later."""
    first = runs.add(analysis_id=2)
    runs.host.execute("UPDATE telemetry_runs SET analysis_gone = TRUE, analysis_created_at = '2026-01-01'")
    second = runs.add(analysis_id=2)
    runs.host.execute(
        "UPDATE telemetry_runs SET analysis_gone = :gone, analysis_created_at = '2026-02-01'"
        " WHERE cost_pico = :cost",
        gone=second_is_gone,
        cost=second,
    )

    assert runs.spend().pico == only(useful=first + second)
    assert [int(row["cost_pico"]) for row in analyses(runs.host)] == [second] * (not second_is_gone)


def test_intake_is_useful_once_its_analysis_succeeds(runs: Runs) -> None:
    """Before that it is unused, but not while the analysis is under way."""
    intake = runs.add("intake", subject="draft:1", user_id=1)
    assert runs.spend().pico == only(unused_intake=intake)

    running = runs.add(status=RUNNING, subject="draft:1", user_id=1)
    assert runs.spend().pico == only(useful=intake, running=running)

    runs.host.execute("UPDATE telemetry_runs SET status = 'failed' WHERE kind = 'analysis'")
    assert runs.spend().pico == only(unused_intake=intake, failed=running)

    repeated = runs.add(subject="draft:1", user_id=1)
    assert runs.spend().pico == only(useful=intake + repeated, failed=running)


def test_late_and_orphan_runs_are_classes_of_their_own(runs: Runs) -> None:
    """One more insight, and calls outside any run, are neither waste nor part of an analysis."""
    late, orphan = runs.add("late", analysis_id=1), runs.add("orphan", status="interrupted")

    spent = runs.spend()

    assert spent.pico == only(late=late, orphan=orphan)
    assert spent.wasted == 0


def test_repriced_values_count(runs: Runs) -> None:
    """The host's rows show the repriced value, too."""
    runs.add()
    runs.host.execute("UPDATE telemetry_runs SET repriced_pico = 7")

    assert runs.spend().pico == only(useful=7)


def test_a_useful_run_has_the_divisors_of_unit_costs(runs: Runs) -> None:
    """They are its candidates, its criteria, and the number of scores above 70 %."""
    runs.add(criteria=4)

    (row,) = runs.host.rows("telemetry_run_spend")

    assert (row["spend_class"], row["candidates"], row["criteria"], row["above_70"]) == ("useful", 2, 4, 1)


def test_runs_with_incomplete_costs_are_counted(runs: Runs) -> None:
    """While there are any, the sum is a lower bound."""
    runs.add()
    runs.host.execute("UPDATE telemetry_runs SET cost_complete = FALSE")

    assert runs.spend().incomplete_runs == 1


def test_a_period_includes_its_beginning_but_not_its_end(runs: Runs) -> None:
    """Neighbouring periods miss no run and share none."""
    first, second = runs.add(), runs.add()
    middle = moment(START + 2 * HOUR)

    assert runs.spend(datetime.min, middle).total == first
    assert runs.spend(middle, datetime.max).total == second


def test_an_analysis_has_the_costs_of_all_its_runs(runs: Runs) -> None:
    """The view shows how much of them was waste, and the cost of a candidate."""
    failed = runs.add(analysis_id=1, status="failed", criteria=4)
    intake = runs.add("intake", subject="draft:1", user_id=1)
    good = runs.add(analysis_id=1, subject="draft:1", user_id=1, criteria=4)
    late = runs.add("late", analysis_id=1)

    (row,) = analyses(runs.host)

    total = failed + intake + good + late
    assert (row["analysis_ref"], row["runs"], row["cost_pico"], row["wasted_pico"]) == (1, 4, total, failed)
    assert float(row["cost_per_candidate"]) == pytest.approx(total / 2 / 10**12)
    assert float(row["cost_per_criterion"]) == pytest.approx(total / 4 / 10**12)
    assert float(row["cost_per_candidate_above_70"]) == pytest.approx(total / 10**12)


def test_candidates_are_those_of_the_last_success(runs: Runs) -> None:
    """The last result of a repeated analysis counts: two candidates, not nine."""
    total = runs.add(analysis_id=1, candidates=9) + runs.add(analysis_id=1, candidates=2)

    (row,) = analyses(runs.host)

    assert (row["candidates"], row["cost_pico"]) == (2, total)


def analyses(host: Host) -> list[dict[str, Any]]:
    with host.engine.connect() as connection:
        query = sa.text("SELECT * FROM telemetry_analysis_spend ORDER BY analysis_ref")
        return [dict(row) for row in connection.execute(query).mappings()]


def test_the_documented_query_works(runs: Runs) -> None:
    """The query in `docs/explanation/waste.md` lists the most expensive class first."""
    cheap, dear = runs.add(status="failed"), runs.add()
    page = (Path(__file__).parents[2] / "docs/explanation/waste.md").read_text()
    (query,) = re.findall(r"```sql\n(.*?)```", page, re.DOTALL)

    with runs.host.engine.connect() as connection:
        rows = connection.execute(sa.text(query.replace("2026-11-01", "2026-01-01"))).mappings().all()

    assert [(row["spend_class"], row["runs"], row["incomplete"]) for row in rows] == [
        ("useful", 1, 0),
        ("failed", 1, 0),
    ]
    assert [round(float(row["dollars"]) * 10**12) for row in rows] == [dear, cheap]


@pytest.mark.parametrize("host", ["sqlite", "psycopg", "newest"], indirect=True)
def test_a_downgrade_drops_the_views(host: Host) -> None:
    """A view that remained would break the tables below it."""
    assert set(sa.inspect(host.engine).get_view_names()) >= VIEWS

    migrate.downgrade(host.url, "3_host_columns")

    assert VIEWS.isdisjoint(sa.inspect(host.engine).get_view_names())


def few(*values: Any) -> st.SearchStrategy[Any]:
    """Draw from so few values that runs often share them."""
    return st.sampled_from(values)


RUN_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "kind": few(*KINDS),
            "status": few(RUNNING, *TERMINAL_STATUSES),
            "synthetic": few(False, False, True),
            "subject": few(None, "draft:1", "draft:2"),
            "user_ref": few(None, 1, 2),
            "analysis_ref": few(None, 1, 2),
            "analysis_gone": st.booleans(),
            "analysis_created_at": few(None, datetime(2026, 1, 1), datetime(2026, 2, 1)),
            "started_at": few(None, *(datetime(2026, 3, 1) + timedelta(hours=hours) for hours in range(3))),
            "cost_pico": st.integers(0, 10**15),
            "repriced_pico": st.none() | st.integers(0, 10**15),
            "cost_complete": st.booleans(),
            "candidates": st.none() | st.integers(0, 500),
            "criteria": st.none() | st.integers(0, 20),
            "above_70": st.integers(0, 100),
        }
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def shared(migrated_sqlite: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[sa.Connection]:
    """A connection to one database for all examples; nothing is committed."""
    path = tmp_path_factory.mktemp("waste") / "host.sqlite"
    shutil.copy(migrated_sqlite, path)
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)
    with engine.connect() as connection:
        yield connection


@given(rows=RUN_ROWS)
def test_every_run_is_in_exactly_one_class(shared: sa.Connection, rows: list[dict[str, Any]]) -> None:
    """Any run is in exactly one class, and sums are exact in total, by day and by analysis."""
    real = [row for row in rows if not row["synthetic"]]
    cost = [_cost(row) for row in real]

    with shared.begin():
        numbered = [
            {**row, "run_id": f"{n:032}", "source": "spans", "version": 1} for n, row in enumerate(rows)
        ]
        if rows:
            shared.execute(tables.runs.insert(), numbered)
        spent = spend(shared)
        by_day = shared.scalar(sa.text("SELECT COALESCE(SUM(cost_pico), 0) FROM telemetry_spend"))
        classed = shared.execute(sa.text("SELECT * FROM telemetry_run_spend")).mappings().all()
        by_analysis = shared.scalar(
            sa.text("SELECT COALESCE(SUM(cost_pico), 0) FROM telemetry_analysis_spend")
        )
        shared.rollback()

    assert {run["spend_class"] for run in classed} <= set(CLASSES)
    counting = Counter(
        (run["subject"], run["user_ref"])
        for run in classed
        if run["kind"] == "analysis"
        and run["spend_class"] == "useful"
        and run["subject"]
        and run["started_at"]
    )
    assert set(counting.values()) <= {1}, "one analysis of a subject is useful"
    assert (spent.total, by_day, sum(spent.runs.values())) == (sum(cost), sum(cost), len(real))
    assert by_analysis == sum(
        pico
        for row, pico in zip(real, cost, strict=True)
        if row["analysis_ref"] is not None and not row["analysis_gone"]
    )
    assert spent.incomplete_runs == sum(not row["cost_complete"] for row in real)


def _cost(row: dict[str, Any]) -> int:
    """Return what a run counts with; the cost of imported runs is unknown."""
    if row["kind"] == "import":
        return 0
    pico: int = row["cost_pico"] if row["repriced_pico"] is None else row["repriced_pico"]
    return pico


def test_waste_is_part_of_the_classes() -> None:
    """No class of waste is left out of the total."""
    assert set(WASTE) < set(CLASSES)
