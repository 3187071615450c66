"""Neither sampling nor a caller's headers change what is counted, for all kinds of calls."""

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
