"""What the money is spent on."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.alert_rules.dashboards import COST
from exporters.reports.lines import WASTE
from grafana.parts.dashboard import Board, row
from grafana.parts.filters import bucket, calls, jobs, runs
from grafana.parts.kinds import bars, figures, rows, shares
from grafana.parts.panels import COUNT, DOLLARS, SHARE, About, Column, over_time, sql
from grafana.parts.plots import course

from .common import budget, tokens
from .common.colors import STAGES
from .common.shared import BOUND, BOUND_LINE, COUNT_INCOMPLETE, FILTERED, IDS, INCOMPLETE, LOWER_BOUND, TOTAL

WASTED: Final = ", ".join(f"'{name}'" for name in WASTE)
PARTS_OF_JOBS: Final = (
    *("kind", "spend_class", "cost_pico", "cost_complete"),
    *("candidates", "criteria", "n_scored", "above_70"),
)
USEFUL: Final = "kind = 'analysis' AND spend_class = 'useful' AND candidates > 0"


def _cost_of(what: str, condition: str) -> str:
    """Return the cost of one of what a column counts, in dollars, over the runs of a condition."""
    return f"sum(cost_pico) FILTER (WHERE {condition}) / 1e12 / nullif(sum({what}) FILTER (WHERE {condition}), 0)"


EACH_JOB: Final = "sum(cost_pico) / 1e12 / nullif(count(*) FILTER (WHERE kind = 'analysis'), 0)"
EACH_CANDIDATE: Final = _cost_of("candidates", USEFUL)
"""As the report has them."""
SCORED: Final = f"{USEFUL} AND n_scored > 0"
UNSCORED: Final = f"{USEFUL} AND coalesce(n_scored, 0) = 0"
"""Useful analyses whose scores are known, and those whose scores are not: these are in no cost of a score."""


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid=COST,
        title="Cost",
        description="What OpenAI costs: by stage, model, job and candidate, what is wasted, and what is unknown.",
        rows=(
            row(5, (6, total()), (7, budget.month()), (11, _each())),
            row(9, (10, _by_stage()), (14, _over_time())),
            row(6, tokens.by_model()),
            row(4, (12, _waste()), (12, tokens.saved())),
            row(8, (8, _by_purpose()), (8, tokens.cost_by_kind()), (8, tokens.over_time_by_kind())),
            row(8, (12, _per_candidate()), (12, tokens.unknown())),
            row(8, (12, budget.burn_down()), (12, budget.today())),
            row(10, _most_expensive()),
        ),
    )


def total() -> Panel:
    """Return what all calls cost, as the overview shows it, too."""
    return figures(
        About(
            title="API cost",
            question="What did all calls of this period cost? A lower bound if the cost of a run is incomplete. "
            f"{FILTERED}",
            empty="No run in this period with these filters, or nothing of its cost is known.",
        ),
        sql(f"""
WITH {runs("cost_pico", "cost_complete")}
SELECT sum(cost_pico) / 1e12 AS "Cost", {COUNT_INCOMPLETE}
FROM chosen"""),
        unit=DOLLARS,
        decimals=2,
        columns={INCOMPLETE: BOUND},
    )


def _each() -> Panel:
    return figures(
        About(
            title="Cost of one",
            question="What does a job cost, with all runs around it? And in a useful analysis, what do a candidate, "
            "a criterion, and a candidate above 70 %? Analyses without known scores count for all but the last. "
            f"{FILTERED}",
            empty="No job of this period has a known cost.",
        ),
        sql(f"""
WITH {runs(*PARTS_OF_JOBS)}
SELECT {EACH_JOB} AS "Job", {EACH_CANDIDATE} AS "Candidate",
  {_cost_of("criteria", f"{USEFUL} AND criteria > 0")} AS "Criterion",
  {_cost_of("above_70", SCORED)} AS "Above 70 %", count(*) FILTER (WHERE {UNSCORED}) AS "Without scores",
  {COUNT_INCOMPLETE}
FROM chosen"""),
        unit=DOLLARS,
        decimals=4,
        columns={
            "Without scores": Column(
                unit=COUNT, decimals=0, limits={0: "green", 1: "orange"}, texts={"0": "none"}
            ),
            INCOMPLETE: BOUND,
        },
    )


def _by_stage() -> Panel:
    return shares(
        About(
            title="Cost by stage",
            question="Which stage costs most: extraction, embeddings, similarity, insights or another? "
            f"A lower bound if a run with such calls is incomplete. {FILTERED}",
        ),
        sql(f"""
WITH {calls("stage", "cost_pico")}, place AS (
  SELECT stage, sum(cost_pico) AS pico, bool_and(cost_complete) AS is_complete,
    row_number() OVER (ORDER BY sum(cost_pico) DESC, stage) AS number
  FROM call GROUP BY stage HAVING sum(cost_pico) > 0),
slice AS (
  SELECT CASE WHEN number < 8 THEN stage ELSE 'other' END AS name, sum(pico) AS pico,
    bool_and(is_complete) AS is_complete, min(number) AS number
  FROM place GROUP BY 1)
SELECT name || {LOWER_BOUND} AS metric, pico / 1e12 AS value FROM slice ORDER BY number"""),
        unit=DOLLARS,
        columns=STAGES | {f"{name} (lower bound)": column for name, column in STAGES.items()},
    )


def _over_time() -> Panel:
    return course(
        About(title="Cost over time", question=f"Does the cost rise, and through which stage? {FILTERED}"),
        over_time(f"""
WITH {calls("stage", "cost_pico")}
SELECT {bucket()} AS "time", stage AS metric, sum(cost_pico) / 1e12 AS value
FROM call GROUP BY 1, 2 HAVING sum(cost_pico) > 0
UNION ALL SELECT {bucket()}, '{INCOMPLETE}', count(DISTINCT run_id) FROM call WHERE NOT cost_complete GROUP BY 1
ORDER BY 1, 2"""),
        unit=DOLLARS,
        bars=True,
        stacked=True,
        columns=STAGES | {INCOMPLETE: BOUND_LINE},
    )


def _by_purpose() -> Panel:
    return bars(
        About(
            title="What became of the money",
            question=f"How much bought useful work, and how much failed, was repeated or interrupted? {FILTERED}",
        ),
        sql(f"""
WITH {runs("spend_class", "cost_pico", "cost_complete")}, purpose AS (
  SELECT spend_class AS name, sum(cost_pico) AS pico, bool_and(cost_complete) AS is_complete
  FROM chosen GROUP BY 1 HAVING sum(cost_pico) > 0)
SELECT name || {LOWER_BOUND} AS "Purpose", pico / 1e12 AS "Cost" FROM purpose ORDER BY 2 DESC"""),
        unit=DOLLARS,
        across="Purpose",
        horizontal=True,
    )


def _waste() -> Panel:
    return figures(
        About(
            title="Wasted",
            question=f"What did failed, cancelled, interrupted, repeated and unused work cost, and is it much? {FILTERED}",
        ),
        sql(f"""
WITH {runs("spend_class", "cost_pico", "cost_complete")}
SELECT coalesce(sum(cost_pico) FILTER (WHERE spend_class IN ({WASTED})), 0) / 1e12 AS "Wasted",
  coalesce(sum(cost_pico) FILTER (WHERE spend_class IN ('failed', 'interrupted')), 0) / 1e12 AS "Failed",
  coalesce(sum(cost_pico) FILTER (WHERE spend_class = 'repeated'), 0) / 1e12 AS "Repeated",
  coalesce(sum(cost_pico) FILTER (WHERE spend_class IN ({WASTED})), 0) / nullif(sum(cost_pico), 0) AS "Share",
  count(*) FILTER (WHERE NOT cost_complete AND spend_class IN ({WASTED})) AS "{INCOMPLETE}"
FROM chosen"""),
        unit=DOLLARS,
        decimals=2,
        columns={
            "Share": Column(unit=SHARE, decimals=1, limits={0: "green", 0.05: "orange", 0.15: "red"}),
            INCOMPLETE: BOUND,
        },
    )


def _per_candidate() -> Panel:
    return course(
        About(
            title="Cost per job and candidate over time",
            question=f"Does one job, with all runs around it, or one candidate cost more? {FILTERED}",
        ),
        over_time(f"""
WITH {runs(*PARTS_OF_JOBS)}
SELECT {bucket()} AS "time", {EACH_JOB} AS "Job", {EACH_CANDIDATE} AS "Candidate",
  nullif(count(*) FILTER (WHERE NOT cost_complete), 0) AS "{INCOMPLETE}"
FROM chosen GROUP BY 1 ORDER BY 1"""),
        unit=DOLLARS,
        decimals=4,
        columns={"Candidate": Column(on_right=True), INCOMPLETE: BOUND_LINE},
    )


def _most_expensive() -> Panel:
    return rows(
        About(title="Most expensive jobs", question="Which jobs cost most, and what did they deliver?"),
        sql(f"""
WITH {jobs("analysis_ref", "user_ref", "status", "candidates", "cost_pico", "cost_complete", "above_70", "trace_id")}
SELECT analysis_ref AS "Analysis", started_at AS "Began", user_ref AS "User", status AS "Status",
  candidates AS "Candidates", cost_pico / 1e12 AS "Cost", cost_pico / 1e12 / nullif(candidates, 0) AS "Each candidate",
  {TOTAL}, above_70 AS "Above 70 %", trace_id AS "Trace"
FROM job WHERE cost_pico IS NOT NULL ORDER BY cost_pico DESC LIMIT 20"""),
        columns={
            **IDS,
            "Cost": Column(unit=DOLLARS, decimals=2),
            "Each candidate": Column(unit=DOLLARS, decimals=4),
        },
    )
