"""Reads from the view ``telemetry_run_spend`` how much was spent in each class."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.reports.lines import WASTE

CLASSES: Final = ("useful", *WASTE, "late", "orphan", "running")
"""All classes: ``orphan`` is spending outside of runs, ``running`` that of open runs."""

_view: Final = sa.table(
    "telemetry_run_spend",
    *map(sa.column, ("kind", "started_at", "spend_class", "cost_pico", "cost_complete")),
)


@dataclass(frozen=True, slots=True)
class Spend:
    """What was spent in a period, by class; synthetic runs are left out."""

    pico: dict[str, int]
    """Pico-dollars by class, for all of ``CLASSES``."""
    runs: dict[str, int]
    """Runs by class."""
    incomplete_runs: int
    """Runs with an incomplete cost; while there are any, the sums are lower bounds."""

    @property
    def total(self) -> int:
        """Pico-dollars of everything."""
        return sum(self.pico.values())

    @property
    def wasted(self) -> int:
        """Pico-dollars of all classes in :data:`WASTE`."""
        return sum(self.pico[name] for name in WASTE)


def spend(connection: Connection, since: datetime | None = None, until: datetime | None = None) -> Spend:
    """Return what was spent by runs that began in a period.

    Args:
        connection: to a database with telemetry's views.
        since: naive UTC, inclusive; default: from the beginning.
        until: naive UTC, exclusive; default: until now.
    """
    rows = connection.execute(_by_class(since, until)).mappings().all()
    by_class = {row["spend_class"]: dict(row) for row in rows}
    return Spend(
        pico={name: int(by_class[name]["pico"] or 0) if name in by_class else 0 for name in CLASSES},
        runs={name: int(by_class[name]["runs"]) if name in by_class else 0 for name in CLASSES},
        incomplete_runs=sum(int(row["incomplete"]) for row in rows),
    )


def _by_class(since: datetime | None, until: datetime | None) -> sa.Select[tuple[object, ...]]:
    run = _view.c
    query: sa.Select[tuple[object, ...]] = sa.select(
        run.spend_class,
        sa.func.count().label("runs"),
        sa.func.sum(run.cost_pico).label("pico"),
        sa.func.sum(sa.case((run.cost_complete, 0), else_=1)).label("incomplete"),
    ).group_by(run.spend_class)
    if since is not None:
        query = query.where(run.started_at >= since)
    if until is not None:
        query = query.where(run.started_at < until)
    return query
