"""The figures in the demo's database, compared with its ledger."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
from genai_prices import Usage, calc_price

from tests.demo.conftest import Finished

pytestmark = pytest.mark.timeout(900)


def test_attempts_and_tokens_equal_the_ledgers(finished: Finished) -> None:
    """This includes every attempt, 429 and token of all runs."""
    statuses = Counter(attempt["status"] for attempt in finished.ledger)
    usages = [attempt["usage"] for attempt in finished.ledger if attempt["usage"]]
    tokens = [
        sum(usage[name] for usage in usages) for name in ("input_tokens", "output_tokens", "cached_tokens")
    ]
    sums = "SUM(attempts), SUM(rate_limit_hits), SUM(input_tokens), SUM(output_tokens), SUM(cached_tokens)"
    expected = (statuses.total(), statuses[429], *tokens)
    assert finished.row(f"SELECT {sums} FROM telemetry_runs") == expected
    assert statuses[429] > 0 and statuses[500] > 0 and tokens[2] > 0


def test_cost_equals_the_ledgers_to_the_pico_dollar(finished: Finished) -> None:
    """Each attempt in the ledger is priced separately from the public price list."""
    pico = sum(_price(attempt) for attempt in finished.ledger if attempt["usage"])
    assert pico > 0
    assert finished.row("SELECT SUM(cost_pico) FROM telemetry_runs") == (pico,)


def test_stages_sum_to_runs_and_runs_to_analyses(finished: Finished) -> None:
    """The sums of the three tables are equal."""
    names = ("attempts", "rate_limit_hits", "input_tokens", "output_tokens", "cost_pico")
    sums = ", ".join(f"SUM({name})" for name in names)
    of_runs = finished.row(f"SELECT {sums}, SUM(api_calls) FROM telemetry_runs")
    of_stages = finished.row(f"SELECT {sums}, SUM(calls) FROM telemetry_stage_usage")
    assert of_stages == of_runs
    _, hits, given, received, pico, calls = of_runs
    of_analyses = "SUM(rate_limit_hits), SUM(total_tokens_used), SUM(api_calls_made), SUM(total_api_cost)"
    *counts, dollars = finished.row(f"SELECT {of_analyses} FROM analyses")
    assert counts == [hits, given + received, calls]
    assert dollars == pytest.approx(pico / 10**12, rel=1e-12)


def test_score_bands_add_up_to_the_scored_candidates(finished: Finished) -> None:
    """This holds for both analyses; fallbacks are in no band."""
    bands = "candidates_above_70_percent + candidates_50_to_70_percent + candidates_below_50_percent"
    scored = "SELECT COUNT(*) FROM telemetry_documents JOIN telemetry_runs USING (run_id)"
    scored += " WHERE analysis_ref = analyses.id AND outcome = 'scored'"
    rows = finished.database.execute(f"SELECT {bands}, ({scored}) FROM analyses").fetchall()
    assert len(rows) == 2
    assert all(total == count > 0 for total, count in rows)


def test_runs_of_all_kinds_belong_to_an_analysis(finished: Finished) -> None:
    """Intake, analysis and the insight that is unlocked later; no run is without one."""
    query = "SELECT kind, COUNT(DISTINCT analysis_ref) FROM telemetry_runs GROUP BY kind"
    assert dict(finished.database.execute(query).fetchall()) == {"intake": 2, "analysis": 2, "late": 1}
    assert finished.row("SELECT COUNT(*) FROM telemetry_runs WHERE analysis_ref IS NULL") == (0,)


def _price(attempt: dict[str, Any]) -> int:
    """Return the price of an attempt in pico-dollars."""
    names = {
        "input_tokens": "input_tokens",
        "output_tokens": "output_tokens",
        "cached_tokens": "cache_read_tokens",
        "cache_write_tokens": "cache_write_tokens",
    }
    usage = Usage(**{argument: attempt["usage"][name] for name, argument in names.items()})
    return round(calc_price(usage, attempt["model"], provider_id="openai").total_price * 10**12)
