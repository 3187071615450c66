"""Jobs as CSV, JSON, JSON lines or Parquet, streamed: a million take no more memory than a thousand.

What is exported is the view `telemetry_jobs`, so that sums are those of the dashboards. It tells no e-mail
address, name or job title; addresses only where they are asked for.
"""

from __future__ import annotations

import csv
import json
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from itertools import chain, islice
from typing import Any, Final, Self, TypeVar

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.reports.cache import answers
from exporters.sql.database.engine import create_engine
from exporters.sql.database.statements import Row
from exporters.sql.host.columns import Writable
from exporters.sql.schema.host import HOST
from telemetry.pricing.prices import to_dollars

from . import parquet
from .cells import Kinds, exact

CHUNK: Final = 1000
"""Rows of one transaction: a long one would stand in the way of a writer of SQLite's."""
SEGMENTS: Final = ("all", "new", "active", "power")
BATCH_SIZES: Final = ("all", "small", "medium", "large")

COLUMNS: Final = (
    *("run_id", "kind", "analysis_ref", "user_ref", "status", "status_reason", "started_at", "ended_at"),
    *(
        "duration_seconds",
        "queue_wait_seconds",
        "candidates",
        "criteria",
        "batch_size",
        "jd_bytes",
        "jd_characters",
    ),
    *("n_documents", "n_scored", "n_failed", "n_duplicates", "resume_bytes", "resume_characters"),
    *(
        "resume_characters_min",
        "resume_characters_max",
        "score_avg",
        "score_median",
        "score_min",
        "score_max",
    ),
    *("above_70", "from_50_to_70", "below_50", "api_calls", "attempts", "rate_limit_hits"),
    *(
        "rate_limit_retries",
        "other_retries",
        "quota_hits",
        "spend_limit_hits",
        "backoff_seconds",
        "input_tokens",
        "output_tokens",
    ),
    *(
        "cached_tokens",
        "cache_write_tokens",
        "reasoning_tokens",
        "cost_pico",
        "cost_dollars",
        "cost_complete",
    ),
    *("error_count", "error_types", "exceeded_resume_limit", "user_chose_override"),
    *("is_new_user", "is_active_user", "is_power_user", "trace_id"),
)
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
_FORMULA_STARTS: Final = frozenset("=+-@|%\N{MINUS SIGN}\N{HYPHEN}\N{NON-BREAKING HYPHEN}\N{EN DASH}")
"""What begins a formula, or a command to another program, in one spreadsheet or another."""
_SKIPPED: Final = frozenset("ZCM")
"""First letters of the Unicode categories that may go unseen: separators, controls and formats, marks."""
FLAGS: Final = frozenset(
    name for name in COLUMNS if name.startswith("is_") or name in ("cost_complete", "exceeded_resume_limit")
) | {"user_chose_override"}
"""Columns that are true or false; SQLite says 1 or 0."""
_jobs: Final = sa.table("telemetry_jobs", *(sa.column(name) for name in COLUMNS))
_users: Final = sa.table("users", sa.column("id"), sa.column("email"))

_Answer = TypeVar("_Answer")


@dataclass(frozen=True, slots=True, kw_only=True)
class Selection:
    """Which jobs, by when they began, whose they are, and how many candidates they have."""

    since: datetime | None = None
    """Naive UTC, inclusive."""
    until: datetime | None = None
    """Naive UTC, exclusive."""
    segment: str = "all"
    """One of :data:`SEGMENTS`."""
    batch_size: str = "all"
    """One of :data:`BATCH_SIZES`."""
    with_emails: bool = False
    """Also tell whose e-mail address it is."""

    def query(self, last: Row | None = None) -> sa.Select[Any]:
        """Return the query for their rows, the oldest first; those after ``last`` if it is given."""
        columns: list[Any] = list(_jobs.c)
        chosen: Any = _jobs
        if self.with_emails:
            columns.append(_users.c.email)
            chosen = _jobs.outerjoin(_users, _users.c.id == _jobs.c.user_ref)
        query = sa.select(*columns).select_from(chosen).where(*self._conditions())
        place = (_jobs.c.started_at, _jobs.c.run_id)
        if last is not None:
            query = query.where(sa.tuple_(*place) > sa.tuple_(last["started_at"], last["run_id"]))
        return query.order_by(*place)

    def count(self) -> sa.Select[Any]:
        """Return the query for their number."""
        return sa.select(sa.func.count()).select_from(_jobs).where(*self._conditions())

    def _conditions(self) -> Iterator[sa.ColumnElement[bool]]:
        if self.since is not None:
            yield _jobs.c.started_at >= sa.bindparam("since", self.since, type_=sa.DateTime())
        if self.until is not None:
            yield _jobs.c.started_at < sa.bindparam("until", self.until, type_=sa.DateTime())
        if self.segment != "all":
            yield _jobs.c[f"is_{self.segment}_user"]
        if self.batch_size != "all":
            yield _jobs.c.batch_size == self.batch_size


class BadSelection(ValueError):
    """A field of a selection has a value that there is not."""

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field} {reason}")
        self.field = field
        self.reason = reason


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
        if self._selection.with_emails and Writable.of(connection).column(HOST.users, "email") is None:
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


def as_csv(rows: Iterable[Row], names: Iterable[str]) -> Iterator[str]:
    """Yield lines of CSV; no cell is a formula to a spreadsheet."""
    line = _Line()
    writer = csv.DictWriter(line, list(names), extrasaction="raise")
    writer.writeheader()
    rows = iter(rows)
    first = list(islice(rows, 1))  # rows that cannot be had leave no header either
    yield line.text
    for row in chain(first, rows):
        writer.writerow({name: _cell(value) for name, value in row.items()})
        yield line.text


def as_json(rows: Iterable[Row], _: Iterable[str]) -> Iterator[str]:
    """Yield one JSON array."""
    before = "["
    for row in rows:
        yield before + json.dumps(row, ensure_ascii=False)
        before = ",\n"
    yield "]\n" if before != "[" else "[]\n"


def as_json_lines(rows: Iterable[Row], _: Iterable[str]) -> Iterator[str]:
    """Yield a JSON object a line."""
    for row in rows:
        yield json.dumps(row, ensure_ascii=False) + "\n"


FORMATS: Final[dict[str, Callable[[Iterable[Row], Iterable[str]], Iterator[str]]]] = {
    "csv": as_csv,
    "json": as_json,
    "jsonl": as_json_lines,
}


class _Line:
    """What the writer of CSV wrote last."""

    text = ""

    def write(self, text: str) -> int:
        self.text = text
        return len(text)


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


def _cell(value: Any) -> Any:
    """Return what a spreadsheet takes for text if it is text, and never for a formula."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str) and _is_formula(value):
        return f"'{value}"
    return value


def _is_formula(text: str) -> bool:
    """Return whether a spreadsheet may take ``text`` for a formula.

    Spreadsheets fold other widths of a character, and skip what cannot be seen, before they look at the first
    one; they also trim a cell that starts with white space. The judgement is made on what is left then.
    """
    if not text or (text[0].isalnum() and text[0].isascii()):  # nearly all cells
        return False
    for character in unicodedata.normalize("NFKD", text):
        if unicodedata.category(character)[0] not in _SKIPPED:
            return character in _FORMULA_STARTS
    return False
