"""Who uses it, who comes back, and what they do about limits."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.alert_rules.dashboards import USERS
from exporters.assets.host_values import HostValue
from grafana.parts.dashboard import Board, row
from grafana.parts.filters import jobs, users
from grafana.parts.kinds import bars, figures, rows, words
from grafana.parts.panels import COUNT, DAY, DOLLARS, MOMENT, SHARE, About, Column, Limits, over_time, sql
from grafana.parts.plots import course
from grafana.parts.queries import APPLICATION, Metrics
from telemetry.conventions.gauges import OVERRIDES_7D, OVERRIDES_30D

from .common.shared import BOUND, COUNT_INCOMPLETE, IDS, INCOMPLETE, NO_GAUGES
from .panels import cohorts

RATE: Final = """CAST(count(*) FILTER (WHERE exceeded_resume_limit AND user_chose_override) AS numeric)
    / nullif(count(*) FILTER (WHERE exceeded_resume_limit), 0)"""
LIMITS: Final[Limits] = {0.0: "green", 0.25: "orange", 0.5: "red"}
NO_WARNING: Final = "No warning was shown in this period to these users."


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid=USERS,
        title="Users and cohorts",
        description="New and returning users, how their jobs grow, and what they do when a limit warns them.",
        days=365,
        rows=(
            row(5, (8, cohorts.number()), (8, _overrides()), (8, _advice())),
            row(9, (12, cohorts.new_and_returning()), (12, cohorts.growth())),
            row(13, cohorts.retention()),
            row(8, (12, _by_segment()), (12, _override_course())),
            row(8, (12, _warnings()), (12, _override_live())),
            row(10, _users()),
        ),
    )


def _overrides() -> Panel:
    return figures(
        About(
            title="Override rate",
            question="Which share of the jobs over the limit was run all the same? From 25 % the limit may be too low.",
            empty="No job of this period was over the limit.",
        ),
        sql(f"""
WITH {jobs("exceeded_resume_limit", "user_chose_override")}
SELECT {RATE} AS "Overridden", count(*) FILTER (WHERE exceeded_resume_limit) AS "Jobs over the limit" FROM job"""),
        unit=SHARE,
        decimals=0,
        limits=LIMITS,
        columns={"Jobs over the limit": Column(unit=COUNT, limits={0: "text", 1: "text"})},
    )


def _advice() -> Panel:
    return words(
        About(
            title="Advice on the limit",
            question="Is the limit right? By the override rate of this period, at 25 % and at 50 %.",
            empty="No job of this period was over the limit.",
        ),
        sql(f"""
WITH {jobs("exceeded_resume_limit", "user_chose_override")}, rate AS (SELECT {RATE} AS share FROM job)
SELECT CASE WHEN share IS NULL THEN 'No job was over the limit.'
  WHEN share >= 0.5 THEN 'Half of the users over the limit override it: raise it.'
  WHEN share >= 0.25 THEN 'Many users over the limit override it: consider raising it.'
  ELSE 'Few users override the limit: it is right.' END AS "Advice"
FROM rate"""),
    )


def _by_segment() -> Panel:
    return rows(
        About(
            title="Segments",
            question="What do new, active and power users do? A user may be in more than one segment.",
        ),
        sql(f"""
WITH {jobs("user_ref", "is_new_user", "is_active_user", "is_power_user", "candidates", "cost_pico", "cost_complete")},
segment(name, place) AS (VALUES ('new', 1), ('active', 2), ('power', 3))
SELECT segment.name AS "Segment", count(DISTINCT job.user_ref) AS "Users", count(job.run_id) AS "Jobs",
  avg(job.candidates) AS "Batch size", sum(job.cost_pico) / 1e12 AS "Cost",
  count(*) FILTER (WHERE NOT job.cost_complete) AS "{INCOMPLETE}"
FROM segment LEFT JOIN job ON (segment.name = 'new' AND job.is_new_user)
  OR (segment.name = 'active' AND job.is_active_user) OR (segment.name = 'power' AND job.is_power_user)
GROUP BY segment.name, segment.place ORDER BY segment.place"""),
        columns={
            "Batch size": Column(decimals=0),
            "Cost": Column(unit=DOLLARS, decimals=2),
            INCOMPLETE: BOUND,
        },
    )


def _override_course() -> Panel:
    return course(
        About(
            title="Override rate per week",
            question="Do more users run jobs over the limit all the same?",
            empty="No job of this period was over the limit.",
        ),
        over_time(f"""
WITH {jobs("exceeded_resume_limit", "user_chose_override")}
SELECT date_trunc('week', started_at) AS "time", {RATE} AS "Overridden"
FROM job GROUP BY 1 HAVING count(*) FILTER (WHERE exceeded_resume_limit) > 0 ORDER BY 1"""),
        unit=SHARE,
        limits={0: "text", 0.25: "orange", 0.5: "red"},
    )


def _warnings() -> Panel:
    return bars(
        About(
            title="What users do after a warning",
            question="Do warnings change what users do?",
            empty=NO_WARNING,
        ),
        sql(f"""
WITH shown AS (
  SELECT note.warning_type, note.user_action FROM telemetry_warnings note
  LEFT JOIN telemetry_user_segments person ON person.user_ref = note.user_ref
  WHERE $__timeFilter(note.shown_at)
    AND {users("note", "person")}
    AND ${{batch_size:sqlstring}} IN ('all', note.batch_size))
SELECT warning_type AS "Warning", count(*) AS "Shown", count(*) FILTER (WHERE user_action = 'continued') AS "Continued",
  count(*) FILTER (WHERE user_action = 'override') AS "Overridden",
  count(*) FILTER (WHERE user_action = 'reduced_batch') AS "Reduced",
  count(*) FILTER (WHERE user_action = 'abandoned') AS "Abandoned"
FROM shown GROUP BY 1 ORDER BY 2 DESC"""),
        unit=COUNT,
        across="Warning",
    )


def _override_live() -> Panel:
    return course(
        About(
            title="Override rate of 7 and of 30 days",
            question=f"Does the rate rise? An alert is raised when that of 7 days is more than "
            f"{HostValue('override_factor'):g} times that of 30 days, unless it may be chance.",
            empty=NO_GAUGES,
        ),
        [
            Metrics(APPLICATION.most(OVERRIDES_7D), "7 days"),
            Metrics(APPLICATION.most(OVERRIDES_30D), "30 days"),
        ],
        unit=SHARE,
    )


def _users() -> Panel:
    return rows(
        About(
            title="Users by number of jobs",
            question="Who are the users, and how do they use it? Ids, not names.",
        ),
        sql(f"""
WITH {jobs("user_ref", "candidates", "cost_pico", "cost_complete", "exceeded_resume_limit", "user_chose_override")}
SELECT job.user_ref AS "User", min(person.created_at) AS "Since", count(*) AS "Jobs", max(person.jobs) AS "Jobs ever",
  avg(job.candidates) AS "Batch size", max(person.largest_batch) AS "Largest job",
  sum(job.cost_pico) / 1e12 AS "Cost", {COUNT_INCOMPLETE}, {RATE} AS "Overridden", max(job.started_at) AS "Last job"
FROM job LEFT JOIN telemetry_user_segments person ON person.user_ref = job.user_ref
WHERE job.user_ref IS NOT NULL GROUP BY job.user_ref ORDER BY 3 DESC, 1 LIMIT 50"""),
        columns={
            "User": IDS["User"],
            "Batch size": Column(decimals=0),
            "Cost": Column(unit=DOLLARS, decimals=2),
            INCOMPLETE: BOUND,
            "Overridden": Column(unit=SHARE, decimals=0),
            "Since": Column(unit=DAY, width=100),
            "Last job": Column(unit=MOMENT, width=140),
        },
    )
