"""Export jobs as CSV, JSON, JSON lines or Parquet, as a stream: memory does not grow with their number.

The rows are those of the view `telemetry_jobs`, so that sums agree with the dashboards. They contain no
e-mail address, name or job title, except for addresses if they are requested.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.reports.cache import cache
from exporters.sql.database.engine import create_engine
from exporters.sql.database.statements import Row
from exporters.sql.host.columns import Writable
from exporters.sql.schema.host import HOST
from telemetry.pricing.prices import to_dollars

from . import parquet
from .cells import Kinds, exact
from .selection import BATCH_SIZES, COLUMNS, SEGMENTS, BadSelection, Selection
from .texts import FORMATS

CHUNK: Final = 1000
"""Rows of one transaction: a long one would block writers on SQLite."""
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

_Result = TypeVar("_Result")


class Export:
    """The jobs of a selection, in one database."""

    def __init__(self, database_url: str, cache_seconds: float = 0, **selection: Any) -> None:
        """Prepare the export; nothing is queried yet.

        Args:
            database_url: of the database.
            cache_seconds: how old the count and the first rows may be.
            selection: see :class:`Selection`.

        Raises:
            BadSelection: if the segment or the batch size does not exist.
            ValueError: if the URL cannot be used.
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
        """Number of jobs yielded so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._engine.dispose()

    def count(self) -> int:
        """Return the number of jobs.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
        """
        return self._cached("count", self._count)

    def _count(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(self._selection.count()).scalar_one())

    def rows(self) -> Iterator[dict[str, Any]]:
        """Yield the jobs, the oldest first.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
        """
        for chunk in self._chunks():
            for row in chunk:
                self.exported += 1
                yield {name: _plain(name, value) for name, value in row.items()}

    def pieces(self, form: str) -> Iterator[bytes]:
        """Yield the jobs in a format, one of :data:`FORMATS` or ``parquet``, as pieces of bytes.

        Raises:
            ValueError: if the extra ``parquet`` is not installed.
            sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
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

    def _check_emails(self, connection: Connection) -> None:
        """Refuse to export addresses that the application does not have."""
        if self._selection.with_emails and Writable.of(connection).column(HOST.users, "email") is None:
            raise LookupError("users has no column email that is text: export without --with-emails")

    def _chunks(self) -> Iterator[Sequence[Row]]:
        chunk = self._cached("first chunk", self._chunk)
        while chunk:
            yield chunk
            if len(chunk) < CHUNK:
                return
            chunk = self._chunk(chunk[-1])

    def _names(self) -> tuple[str, ...]:
        return (*COLUMNS, "email") if self._selection.with_emails else COLUMNS

    def _chunk(self, last: Row | None = None) -> list[dict[str, Any]]:
        with self._engine.connect() as connection:
            self._check_emails(connection)
            result = connection.execute(self._selection.query(last).limit(CHUNK))
            return [dict(row) for row in result.mappings()]

    def _cached(self, what: str, query: Callable[[], _Result]) -> _Result:
        """Return a result of ``query``, or from the cache; only for small results."""
        key = ("export", what, self._database_url, self._selection)
        return cache.get(key, self._cache_seconds, query)


def _kind(name: str) -> Any:
    return sa.Boolean() if name in FLAGS else _KINDS.get(name, sa.BigInteger())


def _exact(kinds: Kinds, row: Row) -> Row:
    """Return a row with exact values. Dollars are computed anew, as those of a view may be rounded."""
    values = {name: exact(kinds[name], value) for name, value in row.items()}
    return {**values, "cost_dollars": None if (pico := values["cost_pico"]) is None else to_dollars(pico)}


def _plain(name: str, value: Any) -> Any:
    """Return a value for JSON: times in UTC, numbers as numbers."""
    if name in FLAGS:
        return None if value is None else bool(value)
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() and name.endswith("_pico") else float(value)
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds") + "Z"
    if name.endswith("_at") and isinstance(value, str):  # SQLite returns times of views as text
        return datetime.fromisoformat(value).isoformat(timespec="milliseconds") + "Z"
    return value.isoformat() if isinstance(value, date) else value
