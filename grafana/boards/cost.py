"""What the money is spent on."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.alert_rules.dashboards import COST
from exporters.assets.host_values import HostValue
from exporters.reports.lines import WASTE
from grafana.parts.dashboard import Board, row
from grafana.parts.filters import bucket, calls, jobs, runs
from grafana.parts.kinds import bars, course, figures, rows, shares
from grafana.parts.links import one_analysis, trace
from grafana.parts.panels import COUNT, DOLLARS, SHARE, About, Column, Owner, over_time, sql
from grafana.parts.queries import APPLICATION, Metrics
from telemetry.conventions.gauges import SPEND_MONTH, SPEND_MONTH_FORECAST, SPEND_TODAY

from .colors import STAGES

NO_BUDGET: Final = (
    "There is no monthly budget, or no process exports the gauges from SQL: see Telemetry health."
)
INCOMPLETE: Final = "Lower bound: runs of unknown cost"
BOUND: Final = Column(unit=COUNT, decimals=0, limits={0: "green", 1: "orange"}, texts={"0": "complete"})
"""The number of runs whose cost is incomplete: unless it is 0, a sum is a lower bound."""
WASTED: Final = ", ".join(f"'{name}'" for name in WASTE)


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid=COST,
        title="Cost",
        description="What OpenAI costs: by stage, model, job and candidate, what is wasted, and what is unknown.",
        rows=(
            row(5, (8, total()), (8, _budget()), (8, _each())),
            row(9, (10, _by_stage()), (14, _over_time())),
            row(9, (12, _by_model()), (12, _by_purpose())),
            row(8, (6, _waste()), (6, _cached()), (12, _by_tokens())),
            row(8, (12, _per_candidate()), (12, _completeness())),
            row(8, (12, _burn_down()), (12, _live())),
            row(10, _most_expensive()),
        ),
    )


def total() -> Panel:
    """Return what all calls cost, as the overview shows it, too."""
    return figures(
        About(
            title="API cost",
            question="What did all calls of this period cost? A lower bound if the cost of a run is incomplete.",
            empty="No run in this period with these filters, or nothing of its cost is known.",
        ),
        sql(f"""
WITH {runs("cost_pico", "cost_complete")}
SELECT sum(cost_pico) / 1e12 AS "Cost", count(*) FILTER (WHERE NOT cost_complete) AS "{INCOMPLETE}"
FROM chosen"""),
        unit=DOLLARS,
        decimals=2,
        columns={INCOMPLETE: BOUND},
    )


def _budget() -> Panel:
    return figures(
        About(
            title="This month against the budget",
            question=f"What was spent this month, and what will it be at its end? Budget: {HostValue('budget_month')}.",
            empty="No process exports the gauges from SQL: see Telemetry health.",
        ),
        [
            Metrics(APPLICATION.most(SPEND_MONTH), "Spent"),
            Metrics(APPLICATION.most(SPEND_MONTH_FORECAST), "At the end of the month"),
        ],
        unit=DOLLARS,
        decimals=2,
        limits={
            0: "green",
            HostValue("budget_month_warning"): "orange",
            HostValue("budget_month_limit"): "red",
        },
    )


def _each() -> Panel:
    return figures(
        About(
            title="Cost of one",
            question="What does a job, a candidate, a criterion and a candidate above 70 % cost? Failed work included.",
            empty="No job of this period has a known cost.",
        ),
        sql(f"""
WITH {jobs("cost_pico", "candidates", "criteria", "above_70", "kind")}
SELECT sum(cost_pico) / 1e12 / nullif(count(cost_pico), 0) AS "Job",
  sum(cost_pico) / 1e12 / nullif(sum(candidates), 0) AS "Candidate",
  sum(cost_pico) / 1e12 / nullif(sum(criteria), 0) AS "Criterion",
  sum(cost_pico) / 1e12 / nullif(sum(above_70), 0) AS "Candidate above 70 %"
FROM job WHERE kind = 'analysis'"""),
        unit=DOLLARS,
        decimals=4,
    )


def _by_stage() -> Panel:
    return shares(
        About(
            title="Cost by stage",
            question="Which stage costs most: extraction, embeddings, similarity, insights or another?",
        ),
        sql(f"""
WITH {calls("stage", "cost_pico")}, place AS (
  SELECT stage, sum(cost_pico) AS pico, row_number() OVER (ORDER BY sum(cost_pico) DESC, stage) AS number
  FROM call GROUP BY stage HAVING sum(cost_pico) > 0)
SELECT CASE WHEN number < 8 THEN stage ELSE 'other' END AS metric, sum(pico) / 1e12 AS value
FROM place GROUP BY 1 ORDER BY min(number)"""),
        unit=DOLLARS,
        columns=STAGES,
    )


def _over_time() -> Panel:
    return course(
        About(title="Cost over time", question="Does the cost rise, and through which stage?"),
        over_time(f"""
WITH {calls("stage", "cost_pico")}
SELECT {bucket()} AS "time", stage AS metric, sum(cost_pico) / 1e12 AS value
FROM call GROUP BY 1, 2 HAVING sum(cost_pico) > 0 ORDER BY 1, 2"""),
        unit=DOLLARS,
        bars=True,
        stacked=True,
        columns=STAGES,
    )


def _by_model() -> Panel:
    return rows(
        About(title="Cost by model", question="Which model costs what, for how many calls and tokens?"),
        sql(f"""
WITH {calls("model", "calls", "cost_pico", "input_tokens", "output_tokens", "unpriced", "usage_missing", "operation")}
SELECT model AS "Model", sum(cost_pico) / 1e12 AS "Cost", sum(calls) AS "Calls",
  sum(cost_pico) / 1e12 / nullif(sum(calls), 0) AS "Each call",
  sum(input_tokens) AS "Input tokens", sum(output_tokens) AS "Output tokens",
  sum(unpriced + usage_missing) AS "Calls of unknown cost"
FROM call WHERE operation <> '' GROUP BY model ORDER BY 2 DESC, 3 DESC LIMIT 50"""),
        columns={
            "Cost": Column(unit=DOLLARS, decimals=2),
            "Each call": Column(unit=DOLLARS, decimals=6),
            "Calls of unknown cost": Column(limits={0: "text", 1: "orange"}),
        },
    )


def _by_purpose() -> Panel:
    return bars(
        About(
            title="What became of the money",
            question="How much bought useful work, and how much failed, was repeated or interrupted?",
        ),
        sql(f"""
WITH {runs("spend_class", "cost_pico")}
SELECT spend_class AS "Purpose", sum(cost_pico) / 1e12 AS "Cost"
FROM chosen GROUP BY 1 HAVING sum(cost_pico) > 0 ORDER BY 2 DESC"""),
        unit=DOLLARS,
        across="Purpose",
        horizontal=True,
    )


def _waste() -> Panel:
    return figures(
        About(
            title="Wasted",
            question="What did failed, cancelled, interrupted, repeated and unused work cost, and is it much?",
        ),
        sql(f"""
WITH {runs("spend_class", "cost_pico")}
SELECT coalesce(sum(cost_pico) FILTER (WHERE spend_class IN ({WASTED})), 0) / 1e12 AS "Wasted",
  coalesce(sum(cost_pico) FILTER (WHERE spend_class IN ({WASTED})), 0) / nullif(sum(cost_pico), 0) AS "Share"
FROM chosen"""),
        unit=DOLLARS,
        decimals=2,
        columns={"Share": Column(unit=SHARE, decimals=1, limits={0: "green", 0.05: "orange", 0.15: "red"})},
    )


def _cached() -> Panel:
    return figures(
        About(
            title="Cached input",
            question="Which share of the input tokens came from the prompt cache, at a lower price, and how many?",
            owner=Owner.DEVELOPERS,
        ),
        sql(f"""
WITH {calls("input_tokens", "cached_tokens")}
SELECT sum(cached_tokens) / nullif(sum(input_tokens), 0) AS "Share", sum(cached_tokens) AS "Tokens" FROM call"""),
        unit=COUNT,
        columns={"Share": Column(unit=SHARE, decimals=1)},
    )


def _by_tokens() -> Panel:
    return course(
        About(
            title="Tokens over time",
            question="Which kinds of tokens are used? Input includes the cached, output the reasoning ones.",
            owner=Owner.DEVELOPERS,
        ),
        over_time(f"""
WITH {calls("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")}
SELECT {bucket()} AS "time", sum(input_tokens) AS "Input", sum(cached_tokens) AS "Cached input",
  sum(output_tokens) AS "Output", sum(reasoning_tokens) AS "Reasoning"
FROM call GROUP BY 1 ORDER BY 1"""),
        unit=COUNT,
        bars=True,
    )


def _per_candidate() -> Panel:
    return course(
        About(
            title="Cost per job and candidate over time",
            question="Does one job, or one candidate, cost more?",
        ),
        over_time(f"""
WITH {jobs("cost_pico", "candidates")}
SELECT {bucket()} AS "time", sum(cost_pico) / 1e12 / nullif(count(cost_pico), 0) AS "Job",
  sum(cost_pico) / 1e12 / nullif(sum(candidates), 0) AS "Candidate"
FROM job GROUP BY 1 ORDER BY 1"""),
        unit=DOLLARS,
        decimals=4,
        columns={"Candidate": Column(on_right=True)},
    )


def _completeness() -> Panel:
    return rows(
        About(
            title="What is not known",
            question="Which calls have no price, or did not say what they used? Their cost is missing in all sums.",
            owner=Owner.DEVELOPERS,
            empty="Every call of this period has a price and says what it used.",
        ),
        sql(f"""
WITH {calls("stage", "model", "calls", "unpriced", "unmodelled", "usage_missing")}
SELECT stage AS "Stage", model AS "Model", sum(calls) AS "Calls", sum(unpriced) AS "Without a price",
  sum(unmodelled) AS "Of these: parts unknown to the price", sum(usage_missing) AS "Without usage"
FROM call GROUP BY 1, 2 HAVING sum(unpriced + usage_missing) > 0 ORDER BY 3 DESC LIMIT 50"""),
    )


def _burn_down() -> Panel:
    limit = HostValue("budget_month_usd")
    return course(
        About(
            title="Budget left this month",
            question=f"How fast is it used up? Below zero it is passed. Budget: {HostValue('budget_month')}.",
            empty=NO_BUDGET,
        ),
        [Metrics(f"{limit} - {APPLICATION.most(SPEND_MONTH)} and on () (vector({limit}) > 0)", "Left")],
        unit=DOLLARS,
        limits={-1e9: "red", 0: "text"},
    )


def _live() -> Panel:
    return course(
        About(
            title="Spent today",
            question="What was spent since midnight, in the time zone of the application?",
            owner=Owner.ON_CALL,
            empty="No process exports the gauges from SQL: see Telemetry health.",
        ),
        [Metrics(APPLICATION.most(SPEND_TODAY), "Today")],
        unit=DOLLARS,
        limits={0: "text", HostValue("budget_day_limit"): "red"},
    )


def _most_expensive() -> Panel:
    return rows(
        About(title="Most expensive jobs", question="Which jobs cost most, and what did they deliver?"),
        sql(f"""
WITH {jobs("analysis_ref", "user_ref", "status", "candidates", "cost_pico", "cost_complete", "above_70", "trace_id")}
SELECT analysis_ref AS "Analysis", started_at AS "Began", user_ref AS "User", status AS "Status",
  candidates AS "Candidates", cost_pico / 1e12 AS "Cost", cost_pico / 1e12 / nullif(candidates, 0) AS "Each candidate",
  CASE WHEN cost_complete THEN 'complete' ELSE 'lower bound' END AS "Total", above_70 AS "Above 70 %", trace_id AS "Trace"
FROM job WHERE cost_pico IS NOT NULL ORDER BY cost_pico DESC LIMIT 20"""),
        columns={
            "Analysis": Column(unit="none", link=one_analysis()),
            "User": Column(unit="none"),
            "Cost": Column(unit=DOLLARS, decimals=2),
            "Each candidate": Column(unit=DOLLARS, decimals=4),
            "Trace": Column(link=trace()),
        },
    )
