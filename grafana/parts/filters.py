"""The rows that a reader of a dashboard has chosen, as the beginning of a query.

A panel says `WITH {jobs("candidates")} SELECT … FROM job`: the period and the filters are applied already.

`MATERIALIZED` computes once for each row what takes subqueries, such as what its money was spent on, however
often a panel names it; and it keeps PostgreSQL from aggregating the calls anew for each run.
"""

from __future__ import annotations

from typing import Final

BUCKET: Final = (
    "date_trunc(CASE WHEN $__unixEpochTo() - $__unixEpochFrom() > 10000000 THEN 'week' ELSE 'day' END, {})"
)

_CALLED: Final = """WITH called AS MATERIALIZED (
    SELECT part.run_id, sum(part.cost_pico) AS cost_pico FROM telemetry_stages part
    WHERE ${model:sqlstring} <> 'all' AND part.model = ${model:sqlstring} AND $__timeFilter(part.started_at)
    GROUP BY part.run_id)"""
"""The calls to the chosen model by run; none if no model is chosen."""
_OF_MODEL: Final = "LEFT JOIN called ON called.run_id = run.run_id"
_MODEL: Final = "(${model:sqlstring} = 'all' OR called.run_id IS NOT NULL)"
_COST: Final = (
    "CASE WHEN ${model:sqlstring} = 'all' THEN run.cost_pico ELSE called.cost_pico END AS cost_pico"
)
"""With a model, only what its calls cost."""


def bucket(column: str = "started_at") -> str:
    """Return the day of a time, or the week if the period is longer than about four months."""
    return BUCKET.format(column)


def jobs(*columns: str) -> str:
    """Return the chosen jobs as ``job``, a part of a ``WITH``."""
    return f"""job AS MATERIALIZED (
  {_CALLED}
  SELECT run.run_id, run.started_at, {_listed(columns)}
  FROM telemetry_jobs run {_OF_MODEL}
  WHERE $__timeFilter(run.started_at)
    AND {users("run")}
    AND ${{batch_size:sqlstring}} IN ('all', run.batch_size)
    AND {_MODEL})"""


def runs(*columns: str) -> str:
    """Return the chosen runs of all kinds as ``chosen``: all money is in them."""
    return f"""chosen AS MATERIALIZED (
  {_CALLED}
  SELECT run.run_id, run.started_at, {_listed(columns)}
  FROM telemetry_run_spend run
  LEFT JOIN telemetry_user_segments person ON person.user_ref = run.user_ref {_OF_MODEL}
  WHERE $__timeFilter(run.started_at)
    AND {users("run", "person")}
    AND ${{batch_size:sqlstring}} IN ('all', run.batch_size)
    AND {_MODEL})"""


def calls(*columns: str) -> str:
    """Return the calls of the chosen runs as ``call``, by stage, operation and model."""
    listed = ", ".join(f"part.{name}" for name in columns)
    return f"""{runs("kind", "cost_complete")}, call AS (
  SELECT chosen.run_id, chosen.started_at, chosen.kind, chosen.cost_complete, {listed}
  FROM chosen JOIN telemetry_stages part ON part.run_id = chosen.run_id AND $__timeFilter(part.started_at)
  WHERE ${{model:sqlstring}} IN ('all', part.model))"""


def users(table: str, segments: str = "") -> str:
    """Return the condition for rows of the chosen users.

    Args:
        table: the alias of a view with ``user_ref``.
        segments: the alias of the view that knows their segments; default: ``table``.
    """
    known = segments or table
    return f"""${{segment:sqlstring}} IN ('all', CASE WHEN {known}.is_new_user THEN 'new' END,
      CASE WHEN {known}.is_active_user THEN 'active' END, CASE WHEN {known}.is_power_user THEN 'power' END)
    AND ${{user:sqlstring}} IN ('all', CAST({table}.user_ref AS text))"""


def _listed(columns: tuple[str, ...]) -> str:
    return ", ".join(_COST if name == "cost_pico" else f"run.{name}" for name in columns)
