"""What fails, where, and what that costs."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.alert_rules.alerts.failures import share_name
from exporters.alert_rules.dashboards import ERRORS
from exporters.assets.host_values import HostValue
from exporters.reports.jobs import LATEST
from grafana.parts.dashboard import Board, row
from grafana.parts.filters import bucket, calls, jobs, runs
from grafana.parts.kinds import bars, figures, rows, shares
from grafana.parts.panels import COUNT, DOLLARS, SHARE, About, Column, Owner, over_time, sql
from grafana.parts.plots import course
from grafana.parts.queries import APPLICATION, Metrics
from telemetry import conventions as c
from telemetry.conventions.gauges import INTERRUPTED_TODAY

from .common.colors import ERROR_TYPES, REFUSALS
from .common.shared import BOUND, COUNT_INCOMPLETE, ENDED, IDS, INCOMPLETE, NO_GAUGES, NO_PROCESS, TOTAL

FAILED = "status IN ('failed', 'interrupted', 'partial_failure')"
NO_ERROR = "No error in this period with these filters."


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid=ERRORS,
        title="Errors",
        description="What fails: types of errors, the stages in which they happen, failed jobs and what they cost.",
        rows=(
            row(5, (8, _failed()), (8, _spent()), (8, _today())),
            row(9, (10, _by_type()), (14, _over_time())),
            row(8, (12, _by_stage()), (12, _answers())),
            row(9, (12, _live()), (12, _objective())),
            row(10, _latest_errors()),
            row(10, _failed_jobs()),
        ),
    )


def _failed() -> Panel:
    allowed = HostValue("failed_jobs_objective")
    return figures(
        About(
            title="Failed jobs",
            question="How many jobs failed, were interrupted or delivered a part only? The share is that of the "
            f"first two: in the long run, {allowed:.1%} may.",
        ),
        sql(f"""
WITH {jobs("kind", "status")}
SELECT count(*) FILTER (WHERE status = 'failed') AS "Failed",
  count(*) FILTER (WHERE status = 'interrupted') AS "Interrupted",
  count(*) FILTER (WHERE status = 'partial_failure') AS "In part",
  CAST(count(*) FILTER (WHERE status IN ('failed', 'interrupted')) AS numeric) / nullif(count(*), 0) AS "Share"
FROM job WHERE {ENDED}"""),
        unit=COUNT,
        columns={"Share": Column(unit=SHARE, decimals=1, limits={0: "green", allowed: "red"})},
    )


def _spent() -> Panel:
    return figures(
        About(
            title="Cost of failed jobs",
            question="What did jobs cost that failed or were interrupted? A lower bound if the cost is incomplete.",
            empty="No job failed in this period with these filters.",
        ),
        sql(f"""
WITH {runs("kind", "status", "cost_pico", "cost_complete")}
SELECT coalesce(sum(cost_pico), 0) / 1e12 AS "Cost", {COUNT_INCOMPLETE}
FROM chosen WHERE kind = 'analysis' AND status IN ('failed', 'interrupted')"""),
        unit=DOLLARS,
        decimals=2,
        columns={INCOMPLETE: BOUND},
    )


def _today() -> Panel:
    return figures(
        About(
            title="Interrupted today",
            question="How many jobs of today were interrupted, because their process died or fell silent? "
            f"More than {HostValue('interrupted_jobs'):.0f} raise an alert.",
            owner=Owner.ON_CALL,
            empty=NO_GAUGES,
        ),
        [Metrics(APPLICATION.most(INTERRUPTED_TODAY), "Interrupted")],
        unit=COUNT,
        limits={0: "green", HostValue("interrupted_jobs_alert"): "red"},
    )


def _errors(*more: str) -> str:
    listed = "".join(f", error.{name}" for name in more)
    return f"""WITH {runs("kind")}, error AS (
  SELECT error.run_id, error.started_at, error.error_type, error.errors{listed}
  FROM telemetry_errors error JOIN chosen ON chosen.run_id = error.run_id AND $__timeFilter(error.started_at)),
place AS MATERIALIZED (
  SELECT error_type, row_number() OVER (ORDER BY sum(errors) DESC, error_type) AS number FROM error GROUP BY error_type)"""


def _by_type() -> Panel:
    return shares(
        About(title="Errors by type", question="Which kinds of errors are there most?", empty=NO_ERROR),
        sql(f"""
{_errors()}
SELECT CASE WHEN place.number < 8 THEN error.error_type ELSE 'other' END AS metric, sum(error.errors) AS value
FROM error JOIN place ON place.error_type = error.error_type GROUP BY 1 ORDER BY min(place.number)"""),
        unit=COUNT,
        columns=ERROR_TYPES,
    )


def _over_time() -> Panel:
    return course(
        About(title="Errors over time", question="Do errors become more, and which?", empty=NO_ERROR),
        over_time(f"""
{_errors()}
SELECT {bucket("error.started_at")} AS "time",
  CASE WHEN place.number < 8 THEN error.error_type ELSE 'other' END AS metric, sum(error.errors) AS value
FROM error JOIN place ON place.error_type = error.error_type GROUP BY 1, 2 ORDER BY 1, 2"""),
        unit=COUNT,
        columns=ERROR_TYPES,
        bars=True,
        stacked=True,
    )


def _by_stage() -> Panel:
    return bars(
        About(
            title="Errors by stage",
            question="In which stage do errors happen?",
            owner=Owner.DEVELOPERS,
            empty=NO_ERROR,
        ),
        sql(f"""
{_errors("stage")}
SELECT coalesce(nullif(error.stage, ''), 'outside any stage') AS "Stage", sum(error.errors) AS "Errors"
FROM error GROUP BY 1 ORDER BY 2 DESC LIMIT 20"""),
        unit=COUNT,
        across="Stage",
        horizontal=True,
        columns={"Errors": Column(color="red")},
    )


def _answers() -> Panel:
    return rows(
        About(
            title="Calls without an answer",
            question="Which calls to OpenAI fail for good, after all retries?",
            owner=Owner.DEVELOPERS,
            empty="Every call of this period was answered.",
        ),
        sql(f"""
WITH {calls("stage", "model", "operation", "calls", "attempts", "errors")}
SELECT stage AS "Stage", model AS "Model", operation AS "Operation", sum(calls) AS "Calls",
  sum(attempts) AS "Attempts", sum(errors) AS "Failed", sum(errors) / nullif(sum(calls), 0) AS "Share"
FROM call WHERE operation <> '' GROUP BY 1, 2, 3 HAVING sum(errors) > 0 ORDER BY 6 DESC LIMIT 50"""),
        columns={"Share": Column(unit=SHARE, decimals=2, limits={0: "text", 0.05: "red"})},
    )


def _live() -> Panel:
    attempts = APPLICATION.series(c.OPENAI_ATTEMPTS, 'status!="200"')
    return course(
        About(
            title="Refused and failed requests now",
            question="How does OpenAI answer, apart from 200? Requests each minute, retries included.",
            owner=Owner.ON_CALL,
            empty=f"Nothing is refused, and nothing fails. Or: {NO_PROCESS}",
        ),
        [Metrics(f"60 * sum by (status) (rate({attempts}[$__rate_interval])) > 0", "{{status}}")],
        unit="reqpm",
        columns=REFUSALS,
    )


def _objective() -> Panel:
    allowed = HostValue("failed_jobs_objective")
    return course(
        About(
            title="Share of failed jobs against the objective",
            question=f"Do more jobs fail than in the long run may, {allowed:.1%}? An alert needs more than "
            f"{HostValue('failed_jobs_1h'):.1%} in 1h, {HostValue('failed_jobs_1d'):.1%} in 1d, or {allowed:.1%} in 3d.",
            owner=Owner.ON_CALL,
            empty="No job ended in this period.",
        ),
        [Metrics(f'{share_name(window)}{{job="$job"}}', f"in {window}") for window in ("1h", "1d", "3d")],
        unit=SHARE,
        limits={0: "text", allowed: "red"},
    )


def _latest_errors() -> Panel:
    return rows(
        About(
            title="Latest errors",
            question="What failed last, where, and what does its trace show?",
            empty=NO_ERROR,
        ),
        sql(f"""
{_errors("stage", "analysis_ref", "user_ref", "status", "trace_id")}
SELECT error.analysis_ref AS "Analysis", error.started_at AS "Began", error.user_ref AS "User", error.stage AS "Stage",
  error.error_type AS "Type", error.errors AS "Times", error.status AS "Status", error.trace_id AS "Trace"
FROM error ORDER BY error.started_at DESC, error.run_id LIMIT 50"""),
        columns=IDS,
    )


def _failed_jobs() -> Panel:
    return rows(
        About(
            title=f"Latest {LATEST} failed jobs",
            question="Which jobs failed, why, how far had they come, and what did they cost?",
            empty="No job failed in this period with these filters.",
        ),
        sql(f"""
WITH {jobs("analysis_ref", "user_ref", "status", "status_reason", "candidates", "n_scored", "n_failed", "error_count", "cost_pico", "cost_complete", "trace_id")}
SELECT analysis_ref AS "Analysis", started_at AS "Began", user_ref AS "User", status AS "Status",
  status_reason AS "Reason", n_scored AS "Scored", candidates AS "Candidates", n_failed AS "Failed",
  error_count AS "Errors", cost_pico / 1e12 AS "Cost",
  {TOTAL}, trace_id AS "Trace"
FROM job WHERE {FAILED} ORDER BY started_at DESC, run_id LIMIT {LATEST}"""),
        columns={**IDS, "Reason": Column(width=260), "Cost": Column(unit=DOLLARS, decimals=4)},
    )
