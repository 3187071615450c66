"""Jobs as CSV, JSON, JSON lines or Parquet, streamed: a million take no more memory than a thousand.

What is exported is the view `telemetry_jobs`, so that sums are those of the dashboards. It tells no e-mail
address, name or job title; addresses only where they are asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.reports.cache import answers
from exporters.sql.database.engine import create_engine
from exporters.sql.host.columns import Writable
from exporters.sql.schema.tables import host_tables
from telemetry.pricing.prices import to_dollars

from . import parquet
from .cells import Kinds, Row, exact
from .selection import BATCH_SIZES, COLUMNS, SEGMENTS, BadSelection, Selection
from .texts import FORMATS

CHUNK: Final = 1000
"""Rows of one transaction: a long one would stand in the way of a writer of SQLite's."""
_KINDS: Final = {
    **dict.fromkeys(
        ("run_id", "kind", "status", "status_reason", "batch_size", "error_types", "trace_id"), sa.String()
    ),
    **dict.fromkeys(("started_at", "ended_at"), sa.DateTime()),
    **dict.fromkeys(("score_avg", "score_median", "score_min", "score_max"), sa.Float()),
    **dict.fromkeys(("duration_seconds", "queue_wait_seconds", "backoff_seconds"), sa.Float()),
    "cost_dollars": sa.Numeric(20, 12),
    "email": sa.String(),
}
"""Types of columns in Parquet; truth is a boolean, and the rest are whole numbers."""
FLAGS: Final = frozenset(
    name for name in COLUMNS if name.startswith("is_") or name in ("cost_complete", "exceeded_resume_limit")
) | {"user_chose_override"}
"""Columns that are true or false; SQLite says 1 or 0."""
_host: Final = host_tables(sa.MetaData())

_Answer = TypeVar("_Answer")


class Export:
    """The jobs of a selection, in one database."""

    def __init__(self, database_url: str, cache_seconds: float = 0, **selection: Any) -> None:
        """Prepare; nothing is asked yet.

        Args:
            database_url: of the database with our views.
            cache_seconds: how old the count and the first chunk may be.
            selection: see :class:`Selection`.

        Raises:
            BadSelection: for a segment or batch size that there is not.
            ValueError: for a URL that cannot be used.
        """
        self._selection = Selection(**selection)
        for name, value, known in (
            ("segment", self._selection.segment, SEGMENTS),
            ("batch_size", self._selection.batch_size, BATCH_SIZES),
        ):
            if value not in known:
                raise BadSelection(name, f"must be one of {', '.join(known)}")
        self._engine = create_engine(database_url, for_reading=True)
        self._database_url = database_url
        self._cache_seconds = cache_seconds
        self.exported = 0
        """Jobs that were yielded so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._engine.dispose()

    def count(self) -> int:
        """Return how many jobs there are.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
        """
        return self._remembered("count", self._count)

    def _count(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(self._selection.count()).scalar_one())

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the jobs, the oldest first.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
        """
        for chunk in self._chunks():
            for row in chunk:
                self.exported += 1
                yield {name: _plain(name, value) for name, value in row.items()}

    def pieces(self, form: str) -> Iterator[bytes]:
        """Yield the jobs in a format, one of :data:`FORMATS` or ``parquet``, bit by bit.

        Raises:
            ValueError: when the extra ``parquet`` is not installed.
            sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
        """
        if form == "parquet":
            kinds = {name: _kind(name) for name in self._names()}
            yield from parquet.pieces(kinds, self._exact_chunks(kinds))
        else:
            for text in FORMATS[form](self.rows(), self._names()):
                yield text.encode()

    def _exact_chunks(self, kinds: Kinds) -> Iterator[list[Row]]:
        for chunk in self._chunks():
            self.exported += len(chunk)
            yield [_exact(kinds, row) for row in chunk]

    def _insist(self, connection: Connection) -> None:
        """Refuse to tell addresses that the application does not keep."""
        if self._selection.with_emails and Writable.of(connection).column(_host.users, "email") is None:
            raise LookupError("users has no column email that is text: export without --with-emails")

    def _chunks(self) -> Iterator[Sequence[Row]]:
        chunk = self._remembered("first chunk", self._chunk)
        while chunk:
            yield chunk
            if len(chunk) < CHUNK:
                return
            chunk = self._chunk(chunk[-1])

    def _names(self) -> tuple[str, ...]:
        return (*COLUMNS, "email") if self._selection.with_emails else COLUMNS

    def _chunk(self, last: Row | None = None) -> list[dict[str, Any]]:
        with self._engine.connect() as connection:
            self._insist(connection)
            found = connection.execute(self._selection.query(last).limit(CHUNK))
            return [dict(row) for row in found.mappings()]

    def _remembered(self, what: str, ask: Callable[[], _Answer]) -> _Answer:
        """Ask, or answer as before: only for what is small, as the whole is not."""
        question = ("export", what, self._database_url, self._selection)
        return answers.get(question, self._cache_seconds, ask)


def _kind(name: str) -> Any:
    return sa.Boolean() if name in FLAGS else _KINDS.get(name, sa.BigInteger())


def _exact(kinds: Kinds, row: Row) -> Row:
    """Return a row with exact values: dollars are counted, not what a view has made of them."""
    values = {name: exact(kinds[name], value) for name, value in row.items()}
    return {**values, "cost_dollars": None if (pico := values["cost_pico"]) is None else to_dollars(pico)}


def _plain(name: str, value: Any) -> Any:
    """Return a value as JSON has it: times in UTC, numbers as numbers."""
    if name in FLAGS:
        return None if value is None else bool(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and name.endswith("_pico") else float(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds") + "Z"
    if name.endswith("_at") and isinstance(value, str):  # a view of SQLite's does not tell that it is a time
        return datetime.fromisoformat(value).isoformat(timespec="milliseconds") + "Z"
    return value.isoformat() if isinstance(value, date) else value
