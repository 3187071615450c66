"""All that is known of one analysis."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.alert_rules.dashboards import ONE_ANALYSIS
from grafana.parts.dashboard import Board, row
from grafana.parts.kinds import figures, rows, spans, words
from grafana.parts.panels import BYTES, COUNT, DOLLARS, SECONDS, SHARE, About, Column, Owner, sql

from .common.shared import BOUND, IDS, INCOMPLETE

UNKNOWN: Final = "There is no such analysis, or it was deleted: give its id above."
RUNS: Final = """one AS (
  SELECT CASE WHEN trim(${analysis:sqlstring}) <> ''
    THEN CAST(substring(trim(${analysis:sqlstring}) FROM '^[0-9]{1,18}\\Z') AS bigint)
    ELSE (SELECT analysis_ref FROM telemetry_jobs WHERE analysis_ref IS NOT NULL ORDER BY started_at DESC LIMIT 1)
    END AS id)"""
"""The analysis that is asked for; the latest if none is, and none if what is asked for is no id."""


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid=ONE_ANALYSIS,
        title="One analysis",
        description="All that is known of one analysis: its stages, calls, documents, scores, errors and trace.",
        filters=(),
        days=30,
        rows=(
            row(4, (14, _what()), (10, _money())),
            row(4, (14, _time()), (10, _scores())),
            row(8, (16, _stages()), (8, _errors())),
            row(5, _runs()),
            row(7, _calls()),
            row(12, _documents()),
        ),
    )


def _job(*columns: str) -> str:
    listed = ", ".join(f"job.{name}" for name in columns)
    return f"""WITH {RUNS}, job AS (
  SELECT {listed} FROM telemetry_jobs job JOIN one ON one.id = job.analysis_ref
  ORDER BY job.started_at DESC, job.run_id LIMIT 1)"""


def _what() -> Panel:
    return words(
        About(
            title="What it is", question="How did it end, when, and whose is it? Its last run.", empty=UNKNOWN
        ),
        sql(f"""
{_job("analysis_ref", "status", "status_reason", "started_at", "user_ref", "candidates", "criteria")}
SELECT 'Analysis ' || analysis_ref AS "Which", status || coalesce(': ' || status_reason, '') AS "Status",
  to_char(started_at, 'YYYY-MM-DD HH24:MI') || ' UTC' AS "Began", 'User ' || user_ref AS "Whose",
  candidates || ' candidates, ' || criteria || ' criteria' AS "Size"
FROM job"""),
    )


def _money() -> Panel:
    return figures(
        About(
            title="What it cost",
            question="What did all its runs cost, and what of that was wasted? Intake and later runs included.",
            empty=UNKNOWN,
        ),
        sql(f"""
WITH {RUNS}
SELECT spend.cost_pico / 1e12 AS "Cost", spend.wasted_pico / 1e12 AS "Wasted",
  spend.cost_per_candidate AS "Each candidate", spend.incomplete_runs AS "{INCOMPLETE}"
FROM telemetry_analysis_spend spend JOIN one ON one.id = spend.analysis_ref"""),
        unit=DOLLARS,
        decimals=4,
        columns={INCOMPLETE: BOUND},
    )


def _scores() -> Panel:
    return figures(
        About(
            title="Scores",
            question="How good are the candidates: mean, median, lowest and highest?",
            empty=UNKNOWN,
        ),
        sql(f"""
{_job("score_avg", "score_median", "score_min", "score_max")}
SELECT score_avg AS "Mean", score_median AS "Median", score_min AS "Lowest", score_max AS "Highest" FROM job"""),
        unit=SHARE,
        decimals=0,
    )


def _time() -> Panel:
    return figures(
        About(
            title="Time and bands",
            question="How long did it take and wait, and how are the scores spread?",
            empty=UNKNOWN,
        ),
        sql(f"""
{_job("duration_seconds", "queue_wait_seconds", "backoff_seconds", "above_70", "from_50_to_70", "below_50")}
SELECT duration_seconds AS "Duration", coalesce(queue_wait_seconds, 0) AS "In the queue", backoff_seconds AS "Waited",
  above_70 AS "Above 70 %", from_50_to_70 AS "50 to 70 %", below_50 AS "Below 50 %"
FROM job"""),
        unit=SECONDS,
        decimals=1,
        columns=dict.fromkeys(("Above 70 %", "50 to 70 %", "Below 50 %"), Column(unit=COUNT, decimals=0)),
    )


def _stages() -> Panel:
    return spans(
        About(
            title="Stages",
            question="When did each stage of its last run begin, and how long did it take? The trace shows each call.",
            owner=Owner.DEVELOPERS,
            empty="No stage of this analysis was recorded, or there is no such analysis.",
        ),
        sql(f"""
{_job("run_id")}
SELECT part.stage AS "Stage", part.opened_seconds AS "Began after",
  part.closed_seconds - part.opened_seconds AS "From its beginning to its end"
FROM telemetry_stages part JOIN job ON job.run_id = part.run_id
WHERE part.opened_seconds IS NOT NULL ORDER BY 2, 1"""),
        unit=SECONDS,
        across="Stage",
        before="Began after",
    )


def _runs() -> Panel:
    return rows(
        About(
            title="Runs",
            question="Which runs belong to it: intake, the analysis itself, repeats, later ones?",
            empty=UNKNOWN,
        ),
        sql(f"""
WITH {RUNS}
SELECT spend.started_at AS "Began", spend.kind AS "Kind", spend.status AS "Status", spend.spend_class AS "Money",
  spend.cost_pico / 1e12 AS "Cost", CASE WHEN spend.cost_complete THEN 'complete' ELSE 'lower bound' END AS "Total",
  job.api_calls AS "Calls", job.rate_limit_hits AS "Rate limits", job.duration_seconds AS "Duration",
  spend.run_id AS "Run", job.trace_id AS "Trace"
FROM telemetry_run_spend spend JOIN one ON one.id = spend.analysis_ref
LEFT JOIN telemetry_jobs job ON job.run_id = spend.run_id
WHERE NOT spend.analysis_gone ORDER BY spend.started_at, spend.run_id"""),
        columns={
            "Cost": Column(unit=DOLLARS, decimals=6),
            "Duration": Column(unit=SECONDS, decimals=1),
            **{name: IDS[name] for name in ("Began", "Trace")},
        },
    )


def _calls() -> Panel:
    return rows(
        About(
            title="Calls",
            question="Which calls were made, with which tokens, and what did they cost?",
            owner=Owner.DEVELOPERS,
            empty=UNKNOWN,
        ),
        sql(f"""
WITH {RUNS}, run AS (SELECT spend.run_id FROM telemetry_run_spend spend JOIN one ON one.id = spend.analysis_ref)
SELECT part.stage AS "Stage", part.operation AS "Operation", part.model AS "Model", sum(part.calls) AS "Calls",
  sum(part.attempts) AS "Attempts", sum(part.rate_limit_hits) AS "Rate limits", sum(part.errors) AS "Failed",
  sum(part.input_tokens) AS "Input", sum(part.cached_tokens) AS "Cached", sum(part.output_tokens) AS "Output",
  sum(part.duration_seconds) AS "Duration",
  sum(part.cost_pico) / 1e12 AS "Cost", sum(part.unpriced + part.usage_missing) AS "Unknown cost"
FROM telemetry_stages part JOIN run ON run.run_id = part.run_id
WHERE part.operation <> '' GROUP BY 1, 2, 3 ORDER BY 12 DESC"""),
        columns={
            "Duration": Column(unit=SECONDS, decimals=1),
            "Cost": Column(unit=DOLLARS, decimals=6),
            "Unknown cost": Column(limits={0: "text", 1: "orange"}),
        },
    )


def _errors() -> Panel:
    return rows(
        About(
            title="Errors",
            question="What went wrong, and in which stage?",
            empty="Nothing went wrong in this analysis.",
        ),
        sql(f"""
WITH {RUNS}
SELECT error.stage AS "Stage", error.error_type AS "Type", sum(error.errors) AS "Times"
FROM telemetry_errors error JOIN one ON one.id = error.analysis_ref GROUP BY 1, 2 ORDER BY 3 DESC"""),
    )


def _documents() -> Panel:
    return rows(
        About(
            title="Documents",
            question="How did each document fare? Numbered, without names.",
            empty="No document of this analysis was recorded.",
        ),
        sql(f"""
WITH {RUNS}
SELECT row_number() OVER (ORDER BY file.score DESC NULLS LAST, file.size_bytes) AS "Place", file.score AS "Score",
  file.outcome AS "Outcome", file.error_type AS "Error", file.type AS "Type", file.size_bytes AS "Size",
  file.characters AS "Characters", file.chunk_count AS "Parts", file.extraction_seconds AS "Extraction",
  file.analysis_seconds AS "Analysed in", CASE WHEN file.fallback THEN 'fallback' ELSE '' END AS "Substitute"
FROM telemetry_run_documents file JOIN one ON one.id = file.analysis_ref ORDER BY 1 LIMIT 500"""),
        columns={
            "Score": Column(
                unit=SHARE, decimals=0, paint=True, limits={0: "red", 0.5: "yellow", 0.7: "green"}
            ),
            "Size": Column(unit=BYTES),
            "Extraction": Column(unit=SECONDS, decimals=2),
            "Analysed in": Column(unit=SECONDS, decimals=2),
        },
    )
