"""All that is known of one analysis."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.alert_rules.dashboards import ONE_ANALYSIS
from grafana.parts.dashboard import Board, row
from grafana.parts.kinds import figures, rows, spans, words
from grafana.parts.panels import BYTES, COUNT, DOLLARS, SECONDS, SHARE, About, Column, Owner, sql

from .common.shared import BOUND, CALLS_TOTAL, CALLS_UNKNOWN, IDS, INCOMPLETE, UNKNOWN_COLUMNS

UNKNOWN: Final = "It is not known, or there is no such analysis, or it was deleted: give its id above."
RUNS: Final = """one AS (
  SELECT CASE WHEN trim(${analysis:sqlstring}) <> ''
    THEN CAST(substring(trim(${analysis:sqlstring}) FROM '^[0-9]{1,18}\\Z') AS bigint)
    ELSE (SELECT analysis_ref FROM telemetry_run_spend
      WHERE kind IN ('analysis', 'import') AND analysis_ref IS NOT NULL AND NOT analysis_gone
      ORDER BY started_at DESC, run_id LIMIT 1)
    END AS id),
run AS (
  SELECT spend.run_id, spend.kind, spend.started_at
  FROM telemetry_run_spend spend JOIN one ON one.id = spend.analysis_ref WHERE NOT spend.analysis_gone),
last AS (
  SELECT run_id, count(*) OVER () AS runs FROM run
  WHERE kind IN ('analysis', 'import') ORDER BY started_at DESC, run_id LIMIT 1)"""
"""The analysis that is asked for: the latest if none is, and none if what is asked for is no id.

All its runs are ``run``, and the one that analysed it last is ``last``; a deleted analysis has none.
"""


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
  SELECT last.runs, {listed} FROM telemetry_jobs job JOIN last ON last.run_id = job.run_id)"""


def _what() -> Panel:
    return words(
        About(title="What it is", question="How did its last run end, when, and whose is it?", empty=UNKNOWN),
        sql(f"""
{_job("analysis_ref", "status", "status_reason", "started_at", "user_ref", "candidates", "criteria")}
SELECT 'Analysis ' || analysis_ref || CASE WHEN runs > 1 THEN ', last of ' || runs || ' runs' ELSE '' END AS "Which",
  status || coalesce(': ' || status_reason, '') AS "Status",
  to_char(started_at, 'YYYY-MM-DD HH24:MI') || ' UTC' AS "Began", 'User ' || user_ref AS "Whose",
  candidates || ' candidates, ' || criteria || ' criteria' AS "Size"
FROM job"""),
    )


def _money() -> Panel:
    return figures(
        About(
            title="What it cost",
            question="What did all its runs cost, and what of that was wasted? Intake and later runs included. "
            "Each candidate: of the run that was delivered last.",
            empty=UNKNOWN,
        ),
        sql(f"""
WITH {RUNS}
SELECT spend.cost_pico / 1e12 AS "Cost", spend.wasted_pico / 1e12 AS "Wasted",
  spend.cost_per_candidate AS "Each candidate", spend.incomplete_runs AS "{INCOMPLETE}"
FROM telemetry_analysis_spend spend WHERE spend.analysis_ref = (SELECT id FROM one)"""),
        unit=DOLLARS,
        decimals=4,
        columns={INCOMPLETE: BOUND},
    )


def _scores() -> Panel:
    return figures(
        About(
            title="Scores",
            question="How good are the candidates of its last run: mean, median, lowest and highest?",
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
            question="How long did its last run take and wait, and how are its scores spread?",
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
WITH {RUNS}
SELECT part.stage AS "Stage", part.opened_seconds AS "Began after",
  part.closed_seconds - part.opened_seconds AS "From its beginning to its end"
FROM telemetry_stages part JOIN last ON last.run_id = part.run_id
WHERE part.opened_seconds IS NOT NULL ORDER BY 2, 1"""),
        unit=SECONDS,
        across="Stage",
        before="Began after",
    )


def _runs() -> Panel:
    return rows(
        About(
            title="Runs",
            question="Which runs belong to it: intake, the analysis itself, repeats, later ones? The last run, which other "
            "panels show, is marked.",
            empty=UNKNOWN,
        ),
        sql(f"""
WITH {RUNS}
SELECT spend.started_at AS "Began", spend.kind AS "Kind", spend.status AS "Status", spend.spend_class AS "Money",
  spend.cost_pico / 1e12 AS "Cost", CASE WHEN spend.cost_complete THEN 'complete' ELSE 'lower bound' END AS "Total",
  job.api_calls AS "Calls", job.rate_limit_hits AS "Rate limits", job.duration_seconds AS "Duration",
  spend.run_id AS "Run", CASE WHEN last.run_id IS NOT NULL THEN 'last' ELSE '' END AS "Shown", job.trace_id AS "Trace"
FROM telemetry_run_spend spend JOIN run ON run.run_id = spend.run_id
LEFT JOIN last ON last.run_id = spend.run_id
LEFT JOIN telemetry_jobs job ON job.run_id = spend.run_id
ORDER BY spend.started_at, spend.run_id"""),
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
            question="Which calls did all its runs make, with which tokens, and what did they cost?",
            owner=Owner.DEVELOPERS,
            empty=UNKNOWN,
        ),
        sql(f"""
WITH {RUNS}
SELECT part.stage AS "Stage", part.model AS "Model", sum(part.calls) AS "Calls",
  sum(part.attempts) AS "Attempts", sum(part.rate_limit_hits) AS "Rate limits", sum(part.errors) AS "Failed",
  sum(part.input_tokens) AS "Input", sum(part.cached_tokens) AS "Cached", sum(part.output_tokens) AS "Output",
  sum(part.duration_seconds) AS "Duration",
  sum(part.cost_pico) / 1e12 AS "Cost", {CALLS_TOTAL}, {CALLS_UNKNOWN}
FROM telemetry_stages part JOIN run ON run.run_id = part.run_id
WHERE part.operation <> '' GROUP BY 1, 2 ORDER BY 11 DESC"""),
        columns={
            "Stage": Column(width=90),
            "Model": Column(width=160),
            "Duration": Column(unit=SECONDS, decimals=1),
            "Cost": Column(unit=DOLLARS, decimals=4),
            **UNKNOWN_COLUMNS,
        },
    )


def _errors() -> Panel:
    return rows(
        About(
            title="Errors",
            question="What went wrong in all its runs, and in which stage?",
            empty="Nothing went wrong in this analysis, or there is no such analysis.",
        ),
        sql(f"""
WITH {RUNS}
SELECT error.stage AS "Stage", error.error_type AS "Type", sum(error.errors) AS "Times"
FROM telemetry_errors error JOIN run ON run.run_id = error.run_id GROUP BY 1, 2 ORDER BY 3 DESC"""),
        columns={"Stage": Column(width=90), "Times": Column(width=70)},
    )


def _documents() -> Panel:
    return rows(
        About(
            title="Documents",
            question="How did each document of its last run fare? Numbered, without names.",
            empty="No document of this analysis was recorded, or there is no such analysis.",
        ),
        sql(f"""
WITH {RUNS}
SELECT row_number() OVER (ORDER BY file.score DESC NULLS LAST, file.size_bytes) AS "Place", file.score AS "Score",
  file.outcome AS "Outcome", file.error_type AS "Error", file.type AS "Type", file.size_bytes AS "Size",
  file.characters AS "Characters", file.chunk_count AS "Parts", file.extraction_seconds AS "Extraction",
  file.analysis_seconds AS "Analysed in", CASE WHEN file.fallback THEN 'fallback' ELSE '' END AS "Substitute"
FROM telemetry_run_documents file JOIN last ON last.run_id = file.run_id ORDER BY 1 LIMIT 500"""),
        columns={
            "Score": Column(
                unit=SHARE, decimals=0, paint=True, limits={0: "red", 0.5: "yellow", 0.7: "green"}
            ),
            "Size": Column(unit=BYTES),
            "Extraction": Column(unit=SECONDS, decimals=2),
            "Analysed in": Column(unit=SECONDS, decimals=2),
        },
    )
