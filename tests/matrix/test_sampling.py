"""Neither sampling nor a caller's headers change what is counted, whatever kind of call it is."""

from __future__ import annotations

import json

import pytest

from tests.matrix.conftest import Get, Run
from tests.matrix.environments import environments
from tests.matrix.judging import BILLED, COUNTS
from tests.matrix.results import Results

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


@pytest.mark.parametrize("options", WAYS.values(), ids=WAYS)
def test_totals_are_the_same(run: Run, results_of: Get, options: list[str]) -> None:
    """Every cell comes to the same calls, attempts, tokens and cost as where everything is sampled."""
    version = next(each for each in environments() if each.is_this_one)
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
