"""Price stage rows again after a price changed or became known, for `flask telemetry reprice`.

The old value stays in `cost_pico`. The new one is written to `repriced_pico`, and shown from then on. As rows
are sums over calls, the result is exact for prices by token, except for the rounding of each call (less than
a pico-dollar). A row whose new price cannot be computed from its sums keeps the old one, with a reason.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from fnmatch import fnmatchcase
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import SQLAlchemyError

from exporters.sql.database.days import midnight
from exporters.sql.database.engine import create_engine, transaction
from exporters.sql.database.statements import Row
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.projection.plan import Projection
from exporters.sql.schema.tables import runs, stage_usage
from telemetry.conventions import RUNNING
from telemetry.pricing.prices import Prices, Rates, Tokens

from .repricing_report import Report

BATCH: Final = 100
"""Runs in one transaction."""

NO_PRICE: Final = "no price for this model, tier and time"
MID_RUN: Final = "the price changed during the run"
NOT_MODELLED: Final = "some of these calls are not billed by tokens"
NOT_LINEAR: Final = "the price depends on the length of each call, or output has none"


@dataclass(frozen=True, slots=True)
class Selection:
    """Selects the rows to price again."""

    since: date
    """First day, in UTC, on which their runs began."""
    until: date | None = None
    """First day after the period; None if it has no end."""
    model: str = "*"
    """Glob for the names of models."""
    provider: str = "openai"
    """Provider whose prices apply, which rows do not record."""


def reprice(
    database_url: str, prices: Prices, *, apply: bool = False, hmac_key: str = "", **selection: Any
) -> Report:
    """Price stage rows again; without ``apply``, only report what would change.

    Args:
        database_url: of the database.
        prices: the current prices.
        apply: whether to write the new prices, and to update the rows of the host.
        hmac_key: key of the hashes of documents; without it the application's processes update its rows.
        selection: see :class:`Selection`.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database cannot be used. Each run is
            either repriced completely or not at all; it can be called again.
    """
    engine = create_engine(database_url)
    try:
        report = _Repricing(engine, prices, Selection(**selection), apply).work()
        if apply and hmac_key:
            report.is_shown = _show(engine, report, hmac_key.encode())
        return report
    finally:
        engine.dispose()


@dataclass(slots=True)
class _Verdict:
    """The new price of a stage row, or the reason why it keeps the old one."""

    row: Row
    new: int | None
    """None if it keeps the old price."""
    reason: str = ""

    @property
    def old(self) -> int:
        """The price that is shown now."""
        return _shown_pico(self.row)

    @property
    def is_change(self) -> bool:
        """Whether it changes the row."""
        if self.new is None:
            return False
        return self.new != self.old or (self.row["unpriced"] > 0 and self.row["repriced_pico"] is None)


@dataclass(slots=True)
class _Repricing:
    """One pass over the runs, in batches."""

    engine: Engine
    prices: Prices
    selection: Selection
    apply: bool
    report: Report = field(init=False)

    def work(self) -> Report:
        self.report = Report(applied=self.apply)
        last: str | None = ""
        while last is not None:
            with transaction(self.engine) as connection:
                last = self._batch(connection, last)
        return self.report

    def _batch(self, connection: Connection, last: str) -> str | None:
        """Price a batch of runs after ``last`` again; return the id of its last run, None if it was empty."""
        batch = self._runs(connection, last)
        usage = self._usage(connection, batch)
        for run in batch:
            self._run(connection, run, usage.get(run["run_id"], []))
        return batch[-1]["run_id"] if batch else None

    def _runs(self, connection: Connection, last: str) -> Sequence[Row]:
        begin, end = self.selection.since, self.selection.until
        query = sa.select(runs).where(
            runs.c.run_id > last,
            runs.c.status != RUNNING,
            runs.c.started_at >= midnight(begin, UTC),
            runs.c.synthetic.is_(False),
        )
        if end is not None:
            query = query.where(runs.c.started_at < midnight(end, UTC))
        query = query.order_by(runs.c.run_id).limit(BATCH)
        # As when a run is stored (T1): the run is locked before its rows are read.
        rows = connection.execute(query.with_for_update() if self.apply else query).mappings()
        return [dict(row) for row in rows]

    def _usage(self, connection: Connection, batch: Iterable[Row]) -> dict[str, list[Row]]:
        query = sa.select(stage_usage).where(
            stage_usage.c.run_id.in_([run["run_id"] for run in batch]), stage_usage.c.operation != ""
        )
        rows: dict[str, list[Row]] = {}
        for row in connection.execute(query).mappings():
            rows.setdefault(row["run_id"], []).append(dict(row))
        return rows

    def _run(self, connection: Connection, run: Row, usage: Sequence[Row]) -> None:
        verdicts = [self._verdict(run, row) for row in usage if self._is_selected(row)]
        for verdict in verdicts:
            model, calls = verdict.row["model"], verdict.row["calls"]
            unpriced = verdict.row["unpriced"]
            self.report.add(model, calls, verdict.old, verdict.new, verdict.reason, unpriced=unpriced)
        self.report.runs += 1
        change = _run_change(run, usage, verdicts)
        if change:
            self.report.changed.append((run["run_id"], run["analysis_ref"], run["user_ref"]))
            if self.apply:
                _write(connection, run, verdicts, change)

    def _is_selected(self, row: Row) -> bool:
        has_tokens = any(row[name] for name in ("input_tokens", "output_tokens", "unpriced"))
        return has_tokens and fnmatchcase(row["model"].lower(), self.selection.model.lower())

    def _verdict(self, run: Row, row: Row) -> _Verdict:
        if row["unmodelled"]:
            return _Verdict(row, None, NOT_MODELLED)
        begin, end = (
            self._rates(row, at) for at in (run["started_at"], run["ended_at"] or run["started_at"])
        )
        if begin is None or end is None:
            return _Verdict(row, None, NO_PRICE)
        if begin != end:
            return _Verdict(row, None, MID_RUN)
        tokens = Tokens(
            row["input_tokens"],
            row["output_tokens"],
            row["cached_tokens"],
            cache_write=row["cache_write_tokens"],
        )
        new = begin.pico_of_sum(tokens, row["calls"])
        return _Verdict(row, new, NOT_LINEAR if new is None else "")

    def _rates(self, row: Row, at: datetime) -> Rates | None:
        at_ns = int(at.replace(tzinfo=UTC).timestamp()) * 10**9
        return self.prices.rates(self.selection.provider, row["model"], at_ns, row["service_tier"])


def _run_change(run: Row, usage: Iterable[Row], verdicts: Sequence[_Verdict]) -> dict[str, Any]:
    """Return the changes in the row of the run; empty if there are none."""
    settled = [verdict for verdict in verdicts if verdict.new is not None]
    unpriced = _still_unpriced(run, usage, [verdict.row for verdict in settled])
    if unpriced == run["unpriced"] and not any(verdict.is_change for verdict in settled):
        return {}
    difference = sum((verdict.new or 0) - verdict.old for verdict in settled)
    return {
        "repriced_pico": _shown_pico(run) + difference,
        "unpriced": unpriced,
        "cost_complete": not (run["usage_missing"] or run["unfinished"] or run["unclosed"] or unpriced),
        "version": run["version"] + 1,
    }


def _still_unpriced(run: Row, usage: Iterable[Row], settled: Sequence[Row]) -> int:
    """Return how many calls of the run have no price.

    Calls that came after a row was repriced are counted only for the whole run; they stay unpriced as long as
    one such row is left out.
    """
    left = [row for row in usage if row["unpriced"] and row not in settled]
    never = sum(row["unpriced"] for row in usage if row["repriced_pico"] is None)
    later = run["unpriced"] - never if any(row["repriced_pico"] is not None for row in left) else 0
    return int(later + sum(row["unpriced"] for row in left if row["repriced_pico"] is None))


def _write(connection: Connection, run: Row, verdicts: Iterable[_Verdict], change: Mapping[str, Any]) -> None:
    for verdict in verdicts:
        if verdict.is_change:
            same_row = sa.and_(*(column == verdict.row[column.name] for column in stage_usage.primary_key))
            connection.execute(stage_usage.update().where(same_row).values(repriced_pico=verdict.new))
    connection.execute(runs.update().where(runs.c.run_id == run["run_id"]).values(**change))


def _show(engine: Engine, report: Report, key: bytes) -> bool:
    """Update the rows of the host; return False if one was locked, which its own processes update later."""
    rows = HostRows(engine, key)
    try:
        done = [*map(rows.project_analysis, report.analyses), *map(rows.project_user, report.users)]
    except SQLAlchemyError:
        return False
    return Projection.BUSY not in done


def _shown_pico(row: Row) -> int:
    return int(row["cost_pico"] if row["repriced_pico"] is None else row["repriced_pico"])
