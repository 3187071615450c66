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

_TO_MODEL: Final = """FROM telemetry_stages part
    WHERE ${model:sqlstring} <> 'all' AND part.model = ${model:sqlstring}
      AND $__timeFilter(part.started_at)"""
"""The calls to the chosen model; none if no model is chosen."""
_CALLED: Final = f"""WITH called AS MATERIALIZED (
    SELECT part.run_id, sum(part.cost_pico) AS cost_pico {_TO_MODEL}
    GROUP BY part.run_id)"""
"""The runs with such calls, and what these cost."""
_CALLERS: Final = f"""WITH called AS MATERIALIZED (
    SELECT DISTINCT part.run_id {_TO_MODEL})"""
"""The same without the sum, for panels without money."""
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
  {_called(columns)}
  SELECT run.run_id, run.started_at, {_listed(columns)}
  FROM telemetry_jobs run {_OF_MODEL}
  WHERE $__timeFilter(run.started_at)
    AND {users("run")}
    AND ${{batch_size:sqlstring}} IN ('all', run.batch_size)
    AND {_MODEL})"""


def runs(*columns: str) -> str:
    """Return the chosen runs of all kinds as ``chosen``: all money is in them."""
    return f"""chosen AS MATERIALIZED (
  {_called(columns)}
  {_spend(columns, _OF_MODEL)} AND {_MODEL})"""


def calls(*columns: str) -> str:
    """Return the calls of the chosen runs as ``call``, by stage, operation and model."""
    listed = ", ".join(f"part.{name}" for name in columns)
    return f"""chosen AS MATERIALIZED (
  {_spend(("kind", "cost_complete"))}), call AS (
  SELECT chosen.run_id, chosen.started_at, chosen.kind, chosen.cost_complete, {listed}
  FROM chosen JOIN telemetry_stages part ON part.run_id = chosen.run_id AND $__timeFilter(part.started_at)
  WHERE ${{model:sqlstring}} IN ('all', part.model))"""


def documents(*columns: str, condition: str = "") -> str:
    """Return the documents of the chosen jobs as ``file``, of which a condition may be asked.

    The filters are applied to the documents themselves, which have the facts of their run: to join hundreds
    of thousands of them to their jobs takes twice as long.
    """
    listed = ", ".join(f"file.{name}" for name in columns)
    return f"""file AS (
  {_CALLERS}
  SELECT file.run_id, file.started_at, file.analysis_ref, {listed}
  FROM telemetry_run_documents file
  LEFT JOIN telemetry_user_segments person ON person.user_ref = file.user_ref
  LEFT JOIN called ON called.run_id = file.run_id
  WHERE $__timeFilter(file.started_at) AND file.kind IN ('analysis', 'import')
    AND {users("file", "person")}
    AND ${{batch_size:sqlstring}} IN ('all', file.batch_size)
    AND {_MODEL}{f" AND file.{condition}" if condition else ""})"""


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


def _spend(columns: tuple[str, ...], joined: str = "") -> str:
    """Return the query for the chosen runs of all kinds, whatever they called."""
    return f"""SELECT run.run_id, run.started_at, {_listed(columns)}
  FROM telemetry_run_spend run
  LEFT JOIN telemetry_user_segments person ON person.user_ref = run.user_ref {joined}
  WHERE $__timeFilter(run.started_at)
    AND {users("run", "person")}
    AND ${{batch_size:sqlstring}} IN ('all', run.batch_size)"""


def _called(columns: tuple[str, ...]) -> str:
    return _CALLED if "cost_pico" in columns else _CALLERS


def _listed(columns: tuple[str, ...]) -> str:
    return ", ".join(_COST if name == "cost_pico" else f"run.{name}" for name in columns)
