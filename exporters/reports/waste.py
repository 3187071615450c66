"""What the money was spent on: useful work, and each kind of waste told apart.

Usage:
    >>> with engine.connect() as connection:
    ...     spent = spend(connection, since=datetime(2026, 11, 1))
    >>> spent.pico["failed"], spent.wasted, spent.total

Every run is of one class, so the classes add up to everything, to the last pico-dollar. The rules stand in
the view ``telemetry_run_spend``, which dashboards read, too; ``docs/waste.md`` tells them in words.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from telemetry.pricing.prices import to_dollars

WASTE: Final = ("failed", "cancelled", "interrupted", "repeated", "unused_intake")
"""Classes of money that bought nothing anybody kept."""
CLASSES: Final = ("useful", *WASTE, "late", "orphan", "running")
"""All classes. ``orphan`` is spend outside any run, ``running`` what is not decided yet."""

_NUMBERS: Final = ("candidates", "criteria", "above_70")

_view: Final = sa.table(
    "telemetry_run_spend",
    *map(sa.column, ("kind", "started_at", "spend_class", "cost_pico", "cost_complete", *_NUMBERS)),
)


@dataclass(frozen=True, slots=True)
class Spend:
    """What was spent in a period, by class; synthetic runs are left out."""

    pico: dict[str, int]
    """Pico-dollars by class, each of :data:`CLASSES`."""
    runs: dict[str, int]
    """Runs by class."""
    incomplete_runs: int
    """Runs whose cost is not wholly known; while there are any, the sums are lower bounds."""
    candidates: int
    """Candidates of the analyses that count, which are the ``useful`` ones."""
    criteria: int
    """Criteria of the same."""
    above_70: int
    """Candidates of the same that scored 70 % or more."""

    @property
    def total(self) -> int:
        """Pico-dollars of everything."""
        return sum(self.pico.values())

    @property
    def wasted(self) -> int:
        """Pico-dollars of all classes in :data:`WASTE`."""
        return sum(self.pico[name] for name in WASTE)

    @property
    def per_candidate(self) -> Decimal | None:
        """Dollars of everything, waste included, a candidate; None without candidates."""
        return self._per(self.candidates)

    @property
    def per_criterion(self) -> Decimal | None:
        """Dollars of everything a criterion; None without criteria."""
        return self._per(self.criteria)

    @property
    def per_candidate_above_70(self) -> Decimal | None:
        """Dollars of everything a candidate of 70 % or more; None without any."""
        return self._per(self.above_70)

    def _per(self, number: int) -> Decimal | None:
        return to_dollars(self.total) / number if number else None


def spend(connection: Connection, since: datetime | None = None, until: datetime | None = None) -> Spend:
    """Return what the runs have spent that began in a period.

    Args:
        connection: to a database at revision 0008 or later.
        since: naive UTC, inclusive; default: from the beginning.
        until: naive UTC, exclusive; default: until now.
    """
    rows = connection.execute(_by_class(since, until)).mappings().all()
    found = {row["spend_class"]: dict(row) for row in rows}
    useful = found.get("useful", {})
    return Spend(
        pico={name: int(found[name]["pico"] or 0) if name in found else 0 for name in CLASSES},
        runs={name: int(found[name]["runs"]) if name in found else 0 for name in CLASSES},
        incomplete_runs=sum(int(row["incomplete"]) for row in rows),
        **{name: int(useful.get(name) or 0) for name in ("candidates", "criteria", "above_70")},
    )


def _by_class(since: datetime | None, until: datetime | None) -> sa.Select[tuple[object, ...]]:
    run = _view.c
    query: sa.Select[tuple[object, ...]] = sa.select(
        run.spend_class,
        sa.func.count().label("runs"),
        sa.func.sum(run.cost_pico).label("pico"),
        sa.func.sum(sa.case((run.cost_complete, 0), else_=1)).label("incomplete"),
        *(sa.func.sum(sa.case((run.kind == "analysis", run[name]))).label(name) for name in _NUMBERS),
    ).group_by(run.spend_class)
    if since is not None:
        query = query.where(run.started_at >= since)
    if until is not None:
        query = query.where(run.started_at < until)
    return query
