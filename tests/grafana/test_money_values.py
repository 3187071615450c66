"""The panels of money show what plain Python makes of the rows of the tables, and say what is not known."""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from datetime import date
from decimal import Decimal

from grafana.boards.common.shared import FILTERED
from tests.grafana.dashboards import each_dashboard, panels, texts, variables
from tests.grafana.rows import PICO, Row, Tables, near


def test_money_of_each_day(tables: Tables) -> None:
    """Revenue, cost and margin, and what a job costs."""
    days: dict[date, Counter[str]] = defaultdict(Counter)
    for run in tables.runs:
        of_day = days[run["started_at"].date()]
        of_day["cost"] += run["cost_pico"]
        of_day["incomplete"] += not run["cost_complete"]
        of_day["jobs"] += run["kind"] == "analysis"
        if run["status"] in ("completed", "partial_failure"):
            of_day["price"] += run["price_pico"] or 0
    shown = tables.shown("analysis-overview", "Revenue, API cost and margin per day")
    assert len(shown) == len(days)
    for time, revenue, cost, margin, incomplete in shown:
        of_day = days[time.date()]
        assert cost * PICO == of_day["cost"] and (revenue or 0) * PICO == of_day["price"]
        assert margin == (revenue or 0) - cost
        assert (incomplete or 0) == of_day["incomplete"]

    for time, job, *_ in tables.shown("analysis-cost", "Cost per job and candidate over time"):
        of_day = days[time.date()]
        assert float(job or 0) == near(of_day["cost"] / PICO / of_day["jobs"] if of_day["jobs"] else 0)


def test_cost(tables: Tables) -> None:
    """By stage, of one candidate, and what the cache saved."""
    stages: Counter[str] = Counter()
    for part in tables.parts("telemetry_stage_usage"):
        stages[part["stage"]] += part["cost_pico"]
    shown = {
        name.removesuffix(" (lower bound)"): value
        for name, value in tables.shown("analysis-cost", "Cost by stage")
    }
    assert shown == {name: Decimal(pico) / PICO for name, pico in stages.items() if pico}

    useful = [job for job in tables.jobs if job["status"] in ("completed", "partial_failure")]
    each = sum(job["cost_pico"] for job in useful) / sum(job["candidates"] for job in useful) / PICO
    whole = sum(run["cost_pico"] for run in tables.runs) / len(tables.jobs) / PICO
    ((job, candidate, criterion, above, _, incomplete),) = tables.shown("analysis-cost", "Cost of one")
    assert (float(job), float(candidate)) == (near(whole), near(each))
    assert float(criterion) == near(
        each * sum(job["candidates"] for job in useful) / sum(job["criteria"] for job in useful)
    )
    assert float(above) > float(candidate)
    assert incomplete == sum(not run["cost_complete"] for run in tables.runs) > 0

    parts = tables.parts("telemetry_stage_usage")
    kinds: Counter[str] = Counter()
    for part in parts:
        fresh = part["input_tokens"] - part["cached_tokens"]
        for name, count, price in (
            ("Input", fresh, 150_000),
            ("Cached input", part["cached_tokens"], 75_000),
        ):
            kinds[name] += count * price if part["model"] and part["stage"] != "unattributed" else 0
        kinds["Output"] += part["output_tokens"] * 600_000
    kinds["Input"] += sum(part["cost_pico"] for part in parts if part["stage"] == "unattributed")
    assert {
        name.removesuffix(" (lower bound)"): float(cost)
        for name, cost in tables.shown("analysis-cost", "Cost by kind of token")
    } == {name: near(pico / PICO) for name, pico in kinds.items()}
    assert sum(kinds.values()) == sum(run["cost_pico"] for run in tables.runs)

    ((saved, share, tokens, _),) = tables.shown("analysis-cost", "Saved by cached input")
    assert saved * PICO == sum(part["saved_pico"] for part in parts) > 0
    assert tokens == sum(part["cached_tokens"] for part in parts)
    assert float(share) == near(int(tokens) / sum(part["input_tokens"] for part in parts))


def useful_jobs(tables: Tables) -> list[Row]:
    """Return the jobs that delivered something."""
    return [job for job in tables.jobs if job["status"] in ("completed", "partial_failure")]


def test_unknown_scores_cost_nothing(tables: Tables) -> None:
    """What analyses without known scores cost is divided by no score, and they are counted."""
    unclosed, unscored, *others = [job for job in useful_jobs(tables) if job["above_70"]]
    known = (
        f"n_scored = 0, above_70 = 0, from_50_to_70 = 0, below_50 = 0 WHERE run_id = '{unscored['run_id']}'"
    )
    with tables.changed(
        f"UPDATE telemetry_runs SET unclosed = 1 WHERE run_id = '{unclosed['run_id']}'",
        f"UPDATE telemetry_runs SET {known}",
    ):
        ((_, candidate, _, above, without, _),) = tables.shown("analysis-cost", "Cost of one")
        of_one = "SELECT above_70, cost_per_candidate_above_70 FROM telemetry_analysis_spend"
        assert tables.asked(f"{of_one} WHERE analysis_ref = {unclosed['analysis_ref']}") == [(None, None)]
    scored = [job for job in useful_jobs(tables) if job["n_scored"] and job not in (unclosed, unscored)]
    assert len(scored) >= len(others) > 0
    assert float(above) == near(
        sum(job["cost_pico"] for job in scored) / sum(job["above_70"] for job in scored) / PICO
    )
    assert without == len(useful_jobs(tables)) - len(scored)


def test_a_criterion_is_of_analyses_with_criteria(tables: Tables) -> None:
    """What the others cost is not divided by it."""
    unknown, *others = useful_jobs(tables)
    with tables.changed(f"UPDATE telemetry_runs SET criteria = NULL WHERE run_id = '{unknown['run_id']}'"):
        ((_, _, criterion, *_),) = tables.shown("analysis-cost", "Cost of one")
    assert float(criterion) == near(
        sum(job["cost_pico"] for job in others) / sum(job["criteria"] for job in others) / PICO
    )


def test_cost_by_model_counts_calls_of_unknown_cost(tables: Tables) -> None:
    """Not the runs that are incomplete for another reason, as the report does."""
    parts = [part for part in tables.parts("telemetry_stage_usage") if part["operation"]]
    expected = {
        model: tuple(
            sum(part[name] for part in parts if part["model"] == model)
            for name in ("unpriced", "usage_missing")
        )
        for model in {part["model"] for part in parts}
    }
    with tables.changed("UPDATE telemetry_runs SET cost_complete = false"):
        shown = tables.shown("analysis-cost", "Cost by model")
    assert {model: (priceless, silent) for model, *_, priceless, silent in shown} == expected
    assert {total for *_, total, _, _ in shown} == {"lower bound"} and sum(map(sum, expected.values())) > 0
    with tables.changed("UPDATE telemetry_stage_usage SET unpriced = 0, usage_missing = 0"):
        assert {total for *_, total, _, _ in tables.shown("analysis-cost", "Cost by model")} == {"complete"}


def test_sums_over_all_runs_say_what_filters_leave_out() -> None:
    """Runs without candidates have no batch size, and calls outside any run no user."""
    summed = set()
    for uid, panel in panels():
        queries = " ".join(target.get("rawSql", "") for target in panel["targets"])
        is_money = (
            any("USD" in text for text in texts(panel["fieldConfig"]))
            and "telemetry_run_spend run" in queries
        )
        if is_money and not re.search(r"FROM chosen WHERE kind = 'analysis'", queries):
            summed.add(panel["title"])
            assert FILTERED in panel["description"], (uid, panel["title"])
    assert {"API cost", "Cost of one", "Revenue, API cost and margin per day"} <= summed
    for dashboard in each_dashboard():
        for name in {"segment", "batch_size"} & variables(dashboard).keys():
            assert "only All counts them" in variables(dashboard)[name]["description"]


def test_a_batch_size_leaves_out_what_has_none(tables: Tables) -> None:
    """An intake, and calls outside any run."""
    job = useful_jobs(tables)[0]
    intake = f"kind = 'intake', candidates = NULL WHERE run_id = '{job['run_id']}'"
    with tables.changed(f"UPDATE telemetry_runs SET {intake}"):
        ((whole, _),) = tables.shown("analysis-cost", "API cost")
        sizes = [
            tables.shown("analysis-cost", "API cost", batch_size=size)[0][0]
            for size in ("small", "medium", "large")
        ]
    without = [run["cost_pico"] for run in tables.runs if run is job or run["kind"] == "orphan"]
    assert (whole - sum(sizes)) * PICO == sum(without) and len(without) == 2
