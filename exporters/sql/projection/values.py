"""The values of the host's rows, computed from our rows."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from exporters.sql.database.statements import Row
from exporters.sql.schema.tables import JOBS
from exporters.sql.storage.run_rows import error_details
from telemetry.conventions import FAILED, Stage
from telemetry.pricing.prices import to_dollars

from .files import Matched
from .noted import Run


def analysis_values(
    own_runs: Sequence[Run], usage: Sequence[Row], documents: Iterable[Row]
) -> dict[str, Any]:
    """Return the values of an ``analyses`` row.

    These are the sums of all its runs, and the documents and scores of the latest analysis.
    """
    return {**_run_values(own_runs), **_latest_values(own_runs, documents), **_stage_values(usage)}


def _run_values(own_runs: Sequence[Run]) -> dict[str, Any]:
    own_runs = _recorded(own_runs)
    if not own_runs:
        return {}
    errors: Counter[tuple[str, str]] = Counter()
    for run in own_runs:
        for entry in json.loads(run["error_types"] or "[]"):
            errors[entry["stage"], entry["type"]] += entry["count"]
    return {
        "api_calls_made": _sum(own_runs, "api_calls"),
        "total_tokens_used": _sum(own_runs, "input_tokens") + _sum(own_runs, "output_tokens"),
        "total_api_cost": to_dollars(_cost(own_runs)),
        "rate_limit_hits": _sum(own_runs, "rate_limit_hits"),
        "rate_limit_retry_count": _sum(own_runs, "rate_limit_retries"),
        "error_count": _sum(own_runs, "error_count"),
        "error_details": error_details(errors.items()),
    }


def _latest_values(own_runs: Sequence[Run], documents: Iterable[Row]) -> dict[str, Any]:
    analyses = [run for run in own_runs if run["kind"] in JOBS]
    if not analyses:
        return {}
    latest = max(analyses, key=lambda run: (run["started_at"], run["run_id"]))
    described = _with_jd(latest, own_runs)
    cost = to_dollars(_cost(own_runs)) if _recorded(own_runs) else None
    is_known = bool(_recorded([latest])) and not (latest["unclosed"] or latest["shed"])
    texts = [
        row["characters"] for row in documents if row["run_id"] == latest["run_id"] and row["characters"]
    ]
    return {
        "status": latest["status"],
        "jd_file_size_bytes": described["jd_bytes"],
        "jd_character_count": described["jd_characters"],
        "total_resume_file_size_bytes": latest["resume_bytes"],
        "avg_resume_character_count": round(sum(texts) / len(texts)) if texts else _average(latest),
        "min_resume_character_count": latest["resume_characters_min"],
        "max_resume_character_count": latest["resume_characters_max"],
        "avg_overall_score": latest["score_avg"],
        "median_overall_score": latest["score_median"],
        "min_overall_score": latest["score_min"],
        "max_overall_score": latest["score_max"],
        **{column: latest[band] if is_known else None for column, band in _BANDS.items()},
        "cost_per_candidate": _per(cost, latest["candidates"]),
        "cost_per_criterion": _per(cost, latest["criteria"]),
    }


_BANDS: Final = {
    "candidates_above_70_percent": "above_70",
    "candidates_50_to_70_percent": "from_50_to_70",
    "candidates_below_50_percent": "below_50",
}


def _with_jd(latest: Run, own_runs: Sequence[Run]) -> Run:
    """Return the run with the job description: the analysis, else the latest intake that has it."""
    uploads = sorted(
        (run for run in own_runs if run["kind"] == "intake"),
        key=lambda run: run["started_at"],
        reverse=True,
    )
    known = (run for run in (latest, *uploads) if (run["jd_bytes"], run["jd_characters"]) != (None, None))
    return next(known, latest)


def _recorded(own_runs: Sequence[Run]) -> list[Run]:
    """Return the runs that telemetry recorded; the cost of history is unknown, not zero."""
    return [run for run in own_runs if run["kind"] != "import"]


def _per(cost: Decimal | None, number: int | None) -> Decimal | None:
    return cost / number if cost is not None and number else None


def _average(imported: Run) -> int | None:
    """Return the mean length of the texts of a run that has no list of documents."""
    total, files = imported["resume_characters"], imported["n_documents"]
    return round(total / files) if total is not None and files else None


_STAGE_TIMES: Final = {
    Stage.EXTRACTION: "text_extraction_total_time",
    Stage.EMBEDDING: "embedding_generation_time",
    Stage.SIMILARITY: "similarity_calculation_time",
    Stage.DB_WRITE: "database_write_time",
    Stage.INSIGHTS: "insights_generation_time_seconds",
}


def _stage_values(usage: Sequence[Row]) -> dict[str, Any]:
    """Return times and costs by stage; a stage that did not happen stays NULL."""
    calls = [row for row in usage if row["operation"]]
    times: Counter[str] = Counter()
    for row in usage:
        if not row["operation"]:
            times[row["stage"]] += row["duration_us"]
    costs: Counter[str] = Counter()
    for row in calls:
        costs[row["stage"]] += _cost([row])
    insights = [row for row in calls if row["stage"] == Stage.INSIGHTS]
    return {
        **{column: _seconds(times.get(stage)) for stage, column in _STAGE_TIMES.items()},
        "insights_generated_count": sum(row["calls"] - row["errors"] for row in insights)
        if insights
        else None,
        "insights_tokens_used": _sum(insights, "input_tokens") + _sum(insights, "output_tokens")
        if insights
        else None,
        "insights_api_cost": to_dollars(costs[Stage.INSIGHTS]) if insights else None,
        "cost_breakdown": json.dumps(
            {stage: f"{to_dollars(pico):f}" for stage, pico in sorted(costs.items())}
        )
        if calls
        else None,
    }


def file_values(matched: Matched) -> dict[str, Any]:
    """Return the values of a row of ``candidate_files``."""
    return {
        "resume_file_size_bytes": matched.size,
        "resume_character_count": matched.characters,
        "resume_file_type": matched.type,
        "extraction_duration_seconds": _seconds(matched.extraction_us),
        "analysis_duration_seconds": _seconds(matched.analysis_us),
        "chunk_count": matched.chunks,
        "processing_error": matched.outcome == FAILED,
        "error_message": matched.error_type,
    }


def user_values(totals: Mapping[str, Any], is_cost_known: bool) -> dict[str, Any]:
    """Return the values of a ``users`` row."""
    jobs, candidates = totals["jobs"], totals["candidates"]
    return {
        "total_jobs_run": jobs,
        "total_candidates_analyzed": candidates,
        "total_api_spend": to_dollars(totals["cost_pico"]) if is_cost_known else None,
        "avg_candidates_per_job": Decimal(candidates) / jobs if jobs else None,
        "largest_batch_processed": totals["largest_batch"],
        "last_active_date": totals["last_run_at"],
    }


def _cost(rows: Iterable[Row]) -> int:
    return sum(
        int(row["cost_pico"] if row["repriced_pico"] is None else row["repriced_pico"]) for row in rows
    )


def _sum(rows: Iterable[Row], name: str) -> int:
    return sum(int(row[name]) for row in rows)


def _seconds(microseconds: int | None) -> Decimal | None:
    return None if microseconds is None else Decimal(microseconds) / 1_000_000
