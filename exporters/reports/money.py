"""What was spent, on what and by which model, and what is missing in it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from zoneinfo import ZoneInfo

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.database.days import Day, midnight
from exporters.sql.schema import tables
from telemetry.conventions import OTHER, RUNNING

from .lines import SPENT_ON, WASTE, Gap, Money, Spend, Usage
from .periods import IMPORT
from .selection import Selection, stages

_SUMS: Final = (
    *("calls", "attempts", "rate_limit_hits", "quota_hits", "spend_limit_hits", "failed_calls"),
    *("input_tokens", "cached_tokens", "cache_write_tokens", "output_tokens", "reasoning_tokens"),
    *("unpriced", "unmodelled", "usage_missing"),
)
_COLUMNS: Final = {"failed_calls": "errors"}
"""Columns of telemetry_stages by their names here, where errors are those that an application marks."""
_USEFUL: Final = {"analysis": "analyses", IMPORT: "history"}
"""Names of useful spending, by the kind of run; that of any other kind is the kind itself."""


def spent_on(connection: Connection, selection: Selection) -> list[Spend]:
    """Return what was spent, by purpose. Every run is in exactly one line, so the lines add up."""
    run = selection.spend().c
    query = sa.select(
        run.kind,
        run.spend_class,
        sa.func.count(),
        sa.func.sum(run.cost_pico),
        sa.func.count(sa.case((sa.not_(run.cost_complete), 1))),
    ).group_by(run.kind, run.spend_class)
    runs: dict[str, int] = {}
    costs: dict[str, Money] = {}
    for kind, spend_class, count, pico, incomplete in connection.execute(query):
        name = _USEFUL.get(kind, kind) if spend_class == "useful" else spend_class
        runs[name] = runs.get(name, 0) + count
        costs[name] = costs.get(name, Money()) + Money.of(pico, incomplete)
    added, place = sorted(runs.keys() - set(SPENT_ON)), SPENT_ON.index(OTHER)
    order = (*SPENT_ON[:place], *added, *SPENT_ON[place:])
    return [Spend(name, runs[name], costs[name], name in WASTE) for name in order if name in runs]


def total(connection: Connection, selection: Selection) -> tuple[Money, int]:
    """Return the sum of :func:`spent_on`, and the number of runs whose cost is incomplete."""
    run = selection.spend().c
    query = sa.select(
        sa.func.count(), sa.func.sum(run.cost_pico), sa.func.count(sa.case((sa.not_(run.cost_complete), 1)))
    )
    runs, pico, incomplete = connection.execute(query).one()
    return Money.of(pico, incomplete) if runs else Money(), incomplete


def month_forecast(dollars: float, zone: ZoneInfo, today: Day, now: datetime) -> float:
    """Return what the month will cost at the pace so far, of which less than a day counts as a day."""
    first = today.date.replace(day=1)
    start = midnight(first, zone)
    end = midnight((first + timedelta(days=32)).replace(day=1), zone)
    elapsed = max(now.astimezone(UTC).replace(tzinfo=None) - start, timedelta(days=1))
    return dollars * ((end - start) / elapsed)


def largest_job(connection: Connection, selection: Selection) -> int | None:
    """Return the known cost of the most expensive job that is selected or under way, in pico-dollars.

    None if there is no such job, or nothing of its cost is known.
    """
    selected = _largest(connection, *selection.of_runs())
    under_way = _largest(connection, tables.runs.c.status == RUNNING, sa.not_(tables.runs.c.synthetic))
    return max((pico for pico in (selected, under_way) if pico is not None), default=None)


def _largest(connection: Connection, *conditions: sa.ColumnElement[bool]) -> int | None:
    run = tables.runs.c
    cost = sa.func.coalesce(run.repriced_pico, run.cost_pico)
    query = sa.select(sa.func.max(cost)).where(run.kind == "analysis", *conditions)
    return connection.execute(query).scalar()


def per_candidate(connection: Connection, selection: Selection) -> tuple[Money, int]:
    """Return the cost of all useful analyses, and the number of their candidates.

    Analyses without a number of candidates are left out of both.
    """
    run = selection.spend().c
    counts = sa.and_(run.kind == "analysis", run.spend_class == "useful", run.candidates > 0)
    query = sa.select(
        sa.func.coalesce(sa.func.sum(run.cost_pico), 0),
        sa.func.count(sa.case((sa.not_(run.cost_complete), 1))),
        sa.func.coalesce(sa.func.sum(run.candidates), 0),
    ).where(counts)
    pico, incomplete, candidates = connection.execute(query).one()
    return Money.of(pico, incomplete), int(candidates)


@dataclass(slots=True)
class Calls:
    """The selected calls, by stage and by model."""

    total: Usage = field(default_factory=lambda: Usage(""))
    orphans: int = 0
    """How many of them were made outside any run."""
    stages: dict[str, Usage] = field(default_factory=dict)
    models: dict[str, Usage] = field(default_factory=dict)

    @property
    def response_seconds(self) -> float | None:
        """Mean duration of a call, in seconds."""
        return self.total.seconds / self.total.calls if self.total.calls else None


def calls(connection: Connection, selection: Selection) -> Calls:
    """Return the selected calls."""
    part = stages.c
    query = (
        sa.select(
            part.stage,
            part.operation,
            part.model,
            sa.case((part.kind == "orphan", 1), else_=0).label("is_orphan"),
            sa.func.sum(part.duration_seconds).label("seconds"),
            sa.func.sum(part.cost_pico).label("pico"),
            *(sa.func.sum(part[_COLUMNS.get(name, name)]).label(name) for name in _SUMS),
        )
        .where(*selection.of_stages())
        .group_by(part.stage, part.operation, part.model, sa.text("is_orphan"))
    )
    result = Calls()
    for row in map(dict, connection.execute(query).mappings()):
        stage = result.stages.setdefault(row["stage"], Usage(row["stage"]))
        _add(stage, row)
        if row["operation"] == "":
            stage.seconds += float(row["seconds"])
            continue
        _add(result.total, row)
        result.total.seconds += float(row["seconds"])
        model = result.models.setdefault(row["model"], Usage(row["model"]))
        _add(model, row)
        model.seconds += float(row["seconds"])
        result.orphans += int(row["calls"]) if row["is_orphan"] else 0
    return result


def by_cost(usages: Iterable[Usage]) -> list[Usage]:
    """Return ``usages``, the most expensive first."""
    return sorted(usages, key=lambda usage: (-usage.cost.pico, -usage.calls, usage.name))


def _add(usage: Usage, row: Mapping[Any, Any]) -> None:
    for name in _SUMS:
        setattr(usage, name, getattr(usage, name) + int(row[name]))
    usage.cost += Money(int(row["pico"]), not (row["unpriced"] or row["usage_missing"]))


def gaps(connection: Connection, selection: Selection, models: Iterable[Usage]) -> list[Gap]:
    """Return why the cost of some runs is not known: by model and calls if these are known, else by runs."""
    known = [
        Gap(reason, model.name, count)
        for model in models
        for reason, count in (
            ("unpriced", model.unpriced - model.unmodelled),
            ("unmodelled", model.unmodelled),
            ("usage_missing", model.usage_missing),
        )
        if count
    ]
    return [*known, *_gaps_of_runs(connection, selection)]


def _gaps_of_runs(connection: Connection, selection: Selection) -> list[Gap]:
    run = tables.runs.c
    is_counted = sa.and_(run.unpriced + run.usage_missing + run.unfinished > 0, run.unclosed == 0)
    reason = sa.case(
        (run.kind == IMPORT, "history"),
        (run.status == RUNNING, "running"),
        (is_counted, "counted"),
        else_="unknown_end",
    ).label("reason")
    query = (
        sa.select(reason, sa.func.count(), sa.func.sum(run.unfinished))
        .where(*selection.of_runs(), sa.not_(run.cost_complete))
        .group_by(sa.text("reason"))
    )
    by_reason = {name: (count, int(open_calls)) for name, count, open_calls in connection.execute(query)}
    unfinished = sum(open_calls for name, (_, open_calls) in by_reason.items() if name != "running")
    known = [Gap("unfinished", None, unfinished)] if unfinished else []
    others = ("running", "unknown_end", "history")
    return [*known, *(Gap(name, None, None, by_reason[name][0]) for name in others if name in by_reason)]
