"""What calls cost by model and kind of token, what the prompt cache saved, and what is not known."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Panel

from grafana.parts.filters import bucket, calls
from grafana.parts.kinds import bars, figures, rows
from grafana.parts.panels import COUNT, DOLLARS, SHARE, About, Column, Owner, over_time, sql
from grafana.parts.plots import course

from .shared import BOUND, CALLS_TOTAL, CALLS_UNKNOWN, FILTERED, INCOMPLETE, LOWER_BOUND, UNKNOWN_COLUMNS

TOKENS: Final = ("input_tokens", "cached_tokens", "output_tokens", "reasoning_tokens")


def by_model() -> Panel:
    """Return what each model costs, and its tokens by kind."""
    return rows(
        About(
            title="Cost by model",
            question="Which model costs what, for how many calls and for which kinds of tokens? A lower bound if calls have "
            "no price, or did not say what they used. Calls without a known end have no model. "
            f"{FILTERED}",
        ),
        sql(f"""
WITH {calls("model", "calls", "cost_pico", *TOKENS, "unpriced", "usage_missing", "operation")}
SELECT model AS "Model", sum(cost_pico) / 1e12 AS "Cost", sum(calls) AS "Calls",
  sum(cost_pico) / 1e12 / nullif(sum(calls), 0) AS "Each call",
  sum(input_tokens) AS "Input tokens", sum(cached_tokens) AS "Cached",
  sum(output_tokens) AS "Output tokens", sum(reasoning_tokens) AS "Reasoning",
  {CALLS_TOTAL}, {CALLS_UNKNOWN}
FROM call WHERE operation <> '' GROUP BY model ORDER BY 2 DESC, 3 DESC LIMIT 50"""),
        columns={
            "Model": Column(width=200),
            "Cost": Column(unit=DOLLARS, decimals=2),
            "Each call": Column(unit=DOLLARS, decimals=6),
            **UNKNOWN_COLUMNS,
        },
    )


def saved() -> Panel:
    """Return what cached tokens saved."""
    return figures(
        About(
            title="Saved by cached input",
            question="What would the tokens from the prompt cache have cost more, which share of the input are they, "
            f"and how many? What was repriced since is not counted as saved. {FILTERED}",
            owner=Owner.DEVELOPERS,
        ),
        sql(f"""
WITH {calls("input_tokens", "cached_tokens", "saved_pico", "unpriced")}
SELECT sum(saved_pico) / 1e12 AS "Saved", sum(cached_tokens) / nullif(sum(input_tokens), 0) AS "Share of the input",
  sum(cached_tokens) AS "Tokens",
  count(DISTINCT run_id) FILTER (WHERE cached_tokens > 0 AND (unpriced > 0 OR saved_pico IS NULL)) AS "{INCOMPLETE}"
FROM call"""),
        unit=COUNT,
        columns={
            "Saved": Column(unit=DOLLARS, decimals=2),
            "Share of the input": Column(unit=SHARE, decimals=1),
            INCOMPLETE: BOUND,
        },
    )


def cost_by_kind() -> Panel:
    """Return what each kind of tokens costs."""
    return bars(
        About(
            title="Cost by kind of token",
            question="How much is for input, for input from the cache, and for output, reasoning included? What was "
            f"repriced since is not divided. {FILTERED}",
            owner=Owner.DEVELOPERS,
        ),
        sql(f"""
WITH {calls("cost_pico", "output_pico", "saved_pico", "input_tokens", "cached_tokens")}, part AS (
  SELECT cost_pico, output_pico, cost_complete, coalesce(CAST(cost_pico + saved_pico - output_pico AS numeric)
    * cached_tokens / nullif(input_tokens, 0) - saved_pico, 0) AS cached_pico
  FROM call),
total AS (
  SELECT bool_and(cost_complete) AS is_complete, sum(cost_pico - output_pico - cached_pico) AS fresh,
    sum(cached_pico) FILTER (WHERE output_pico IS NOT NULL) AS cached, sum(output_pico) AS output,
    sum(cost_pico) FILTER (WHERE output_pico IS NULL) AS repriced
  FROM part)
SELECT kind.name || {LOWER_BOUND} AS "Kind", kind.pico / 1e12 AS "Cost"
FROM total CROSS JOIN LATERAL (VALUES ('Input', 1, fresh), ('Cached input', 2, cached), ('Output', 3, output),
  ('Not divided', 4, repriced)) AS kind(name, place, pico)
WHERE kind.pico > 0 ORDER BY kind.place"""),
        unit=DOLLARS,
        across="Kind",
        horizontal=True,
    )


def over_time_by_kind() -> Panel:
    """Return the tokens over time by kind."""
    return course(
        About(
            title="Tokens over time",
            question="Which kinds of tokens are used? Input includes the cached, output the reasoning ones.",
            owner=Owner.DEVELOPERS,
        ),
        over_time(f"""
WITH {calls(*TOKENS)}
SELECT {bucket()} AS "time", sum(input_tokens) AS "Input", sum(cached_tokens) AS "Cached input",
  sum(output_tokens) AS "Output", sum(reasoning_tokens) AS "Reasoning"
FROM call GROUP BY 1 ORDER BY 1"""),
        unit=COUNT,
        bars=True,
    )


def unknown() -> Panel:
    """Return the calls whose cost is missing in all sums."""
    return rows(
        About(
            title="What is not known",
            question="Which calls have no price, some because it does not know all their parts, or did not say what they used? "
            "Their cost is missing in all sums.",
            owner=Owner.DEVELOPERS,
            empty="Every call of this period has a price and says what it used.",
        ),
        sql(f"""
WITH {calls("stage", "model", "calls", "unpriced", "unmodelled", "usage_missing")}
SELECT stage AS "Stage", model AS "Model", sum(calls) AS "Calls", sum(unpriced) AS "No price",
  sum(unmodelled) AS "In part", sum(usage_missing) AS "No usage"
FROM call GROUP BY 1, 2 HAVING sum(unpriced + usage_missing) > 0 ORDER BY 3 DESC LIMIT 50"""),
    )
