"""Every OpenAI call is accounted exactly, or marked as incomplete with the reason."""

from __future__ import annotations

import json
from collections import Counter, defaultdict

import pytest

from telemetry import conventions as c
from tests.choice import first_of
from tests.matrix.cells import ROWS, cells
from tests.matrix.conftest import Get, Run
from tests.matrix.environments import Environment, environments
from tests.matrix.judging import BILLED, COUNTS, PICO
from tests.matrix.kinds import KINDS
from tests.matrix.results import Results

# The first test of a version creates its environment, and runs all its cells.
WAITS = ("backoff_us", "retry_after_us")
pytestmark = pytest.mark.timeout(900)

others = pytest.mark.whole_matrix("clients of other majors: a minute each, and an environment of their own")
every_version = pytest.mark.parametrize(
    "version",
    [
        pytest.param(version, marks=[] if version.is_this_one else others, id=f"openai {version.openai}")
        for version in environments()
    ],
)
LATER = {"chat, stream()", "chat, parse()"}
"""Kinds of calls that openai 1.26 lacks, beside the whole responses API."""


OUTCOMES = ["429, then success", "cut off"]
HOSTILE = {
    "traceparent": f"00-{'a' * 32}-{'b' * 16}-00",
    "tracestate": "analysis=evil",
    "baggage": "analysis.run.id=evil,analysis.stage=evil,analysis.id=7",
}
WAYS = {
    "a tenth is sampled": ["--sampled", "0.1"],
    "nothing is sampled, in a hostile request": ["--sampled", "0", "--headers", json.dumps(HOSTILE)],
}


@every_version
@pytest.mark.parametrize("row", ROWS)
def test_every_cell_is_accounted_correctly(results_of: Get, version: Environment, row: str) -> None:
    """Calls, attempts, retries, tokens and cost equal the ledger's, or the cost is marked as incomplete."""
    red = results_of(version).red(row)
    assert not red, "\n".join([f"{len(red)} cells of openai {version.openai} are wrong:", *red])


@every_version
def test_only_known_kinds_of_calls_are_absent(results_of: Get, version: Environment) -> None:
    """Every cell is tried; only the oldest version lacks kinds of calls, which were added later."""
    verdicts = results_of(version).verdicts
    assert set(verdicts) == set(cells())
    absent = {cell.kind for cell, verdict in verdicts.items() if verdict.absent}
    later = {kind for kind in KINDS if kind.name in LATER or kind.needs.startswith("responses.")}
    assert absent == (later if version.major == "1" else set())


@every_version
def test_nothing_else_is_recorded(results_of: Get, version: Environment) -> None:
    """Every cell is one run, no call is an orphan, and there is no internal error."""
    results = results_of(version)
    tried = [verdict for verdict in results.verdicts.values() if not verdict.absent]
    assert [row["kind"] for row in results.rows] == ["analysis"] * len(tried)
    assert results.internal_errors == {}, results.stderr


@every_version
def test_stage_rows_sum_to_runs(results_of: Get, version: Environment) -> None:
    """All of them name the stage in which the calls were made."""
    results = results_of(version)
    names = [*COUNTS[1:], *BILLED, "backoff_us", "retry_after_us", "usage_missing"]
    by_run: dict[str, Counter[str]] = defaultdict(Counter)
    for row in results.stages:
        by_run[row["run_id"]].update({"api_calls": row["calls"], **{name: row[name] for name in names}})
    for row in results.rows:
        assert {name: row[name] for name in ("api_calls", *names) if row[name]} == +by_run[row["run_id"]]
    assert {row["stage"] for row in results.stages} == {"ranking"}


@every_version
def test_every_kind_of_token_occurs(results_of: Get, version: Environment) -> None:
    """There are cached and reasoning tokens, and tokens written to the cache."""
    rows = results_of(version).rows
    assert all(sum(row[name] for row in rows) > 0 for name in BILLED)


@every_version
def test_metrics_equal_the_sums_of_rows(results_of: Get, version: Environment) -> None:
    """The metrics of the process equal the sums over its runs."""
    results = results_of(version)
    total = {
        name: sum(row[name] for row in results.rows) for name in (*COUNTS, *BILLED, *WAITS, "usage_missing")
    }
    metrics = results.metrics
    assert metrics[c.OPENAI_OPERATIONS.name] == total["api_calls"]
    assert metrics[c.OPENAI_ATTEMPTS.name] == total["attempts"]
    assert metrics[f"{c.OPENAI_RETRIES.name}/rate_limit"] == total["rate_limit_retries"]
    assert metrics[f"{c.OPENAI_RETRIES.name}/other"] == total["other_retries"]
    assert metrics[c.OPENAI_BACKOFF.name] == pytest.approx(total["backoff_us"] / 1e6)
    assert metrics[c.OPENAI_RETRY_AFTER.name] == pytest.approx(total["retry_after_us"] / 1e6)
    assert min(total[name] for name in WAITS) > 0
    assert metrics[c.OPENAI_COST.name] == pytest.approx(total["cost_pico"] / PICO, rel=1e-12)
    for kind in c.TOKEN_KINDS:
        assert metrics[f"{c.OPENAI_TOKENS.name}/{kind}"] == total[f"{kind}_tokens"]
    assert metrics[f"{c.OPENAI_UNACCOUNTED.name}/usage_missing"] == total["usage_missing"]


@pytest.mark.parametrize("options", first_of(WAYS.values(), "sampling is decided in one place"), ids=WAYS)
def test_totals_do_not_depend_on_sampling_or_headers(run: Run, results_of: Get, options: list[str]) -> None:
    """Every cell has the same calls, attempts, tokens and cost as with everything sampled."""
    version = next(environment for environment in environments() if environment.is_this_one)
    results = run(version, outcomes=OUTCOMES, options=options)
    assert results.red() == []
    assert _figures(results) == _figures(results_of(version))
    assert {verdict.row["trace_sampled"] for verdict in results.verdicts.values()} != {True}


def _figures(results: Results) -> dict[str, list[int]]:
    names = (*COUNTS, *BILLED, "usage_missing", "analysis_ref")
    return {
        cell.name: [verdict.row[name] for name in names]
        for cell, verdict in results.verdicts.items()
        if cell.outcome.name in OUTCOMES
    }
