"""Makes calls, documents and fragments for the tests in this folder, and opens a host's database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime
from typing import Any, Self
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exporters.privacy.document_key import document_key
from exporters.rollup.accumulator import Accumulator
from exporters.rollup.call import Call
from exporters.rollup.documents import DocumentState
from exporters.rollup.snapshot import Snapshot
from telemetry._internal.run import Document
from telemetry.pricing.prices import Price, Tokens

SOME_HOSTS = ("sqlite", "psycopg2", "newest")
"""The hosts for modules whose statements are the same behind a pooler."""
SECOND = 10**9
START = 1_790_000_000 * SECOND
"""Start of the runs in these tests, in epoch nanoseconds."""
KEY = b"secret"
"""The key of the documents' hashes."""
TOKENS = Tokens(input=1000, output=100)
CREATED = datetime(2026, 9, 21, 12, 0, 0)
"""Creation of the host's rows, which is before START."""


def call(
    stage: str = "ranking",
    *,
    ok: bool = True,
    pico: int | None = 210_000_000,
    tokens: Tokens | None = TOKENS,
    statuses: tuple[str, ...] = ("200",),
    model: str = "gpt-4o-mini",
    tier: str = "default",
    duration_us: int = 1500,
    backoff_us: int = 0,
    retry_after_us: int = 0,
    unmodelled: tuple[str, ...] = (),
) -> Call:
    """Return an OpenAI call that ended; if `pico` is None it has no price."""
    price = None if pico is None or tokens is None else Price(pico, "genai-prices", "1")
    waits = (backoff_us, retry_after_us)
    return Call(
        stage, "chat", model, tier, ok, duration_us, statuses, *waits, tokens, price, unmodelled=unmodelled
    )


def failed_call(stage: str = "ranking", *statuses: str) -> Call:
    """Return a call without an answer."""
    return call(stage, ok=False, tokens=None, statuses=statuses or ("400",))


def visit(key: str = "cv.pdf", *, score: float | None = None, **known: Any) -> Document:
    """Return a visit to a document; `score` is between 0 and 1."""
    document = Document(
        key,
        **{name: known.pop(name) for name in ("size", "characters", "type", "row_id") if name in known},
    )
    document.score = None if score is None else round(score * 10_000)
    for name, value in known.items():
        setattr(document, name, value)
    return document


def facts(run_id: str | None = None, **known: Any) -> Snapshot:
    """Return the first snapshot of a fragment, without any usage."""
    start = known.setdefault("opened_at", START)
    defaults: dict[str, Any] = {
        "run_id": run_id or uuid4().hex,
        "fragment_id": uuid4().hex,
        "process_id": "p1",
        "kind": "analysis",
        "seq": 0,
        "taken_at": start,
    }
    return Snapshot(**{**defaults, **known})


class Fragment:
    """An open fragment, with a clock of its own."""

    def __init__(self, run_id: str | None = None, **known: Any) -> None:
        self.accumulator = Accumulator(facts(run_id, **known))
        self.now = self.accumulator.facts.opened_at

    def calls(self, *calls: Call) -> Fragment:
        for one in calls:
            self.accumulator.call_started()
            assert self.accumulator.call_ended(replace(one))  # a copy, because a call is counted once
        return self

    def documents(self, *visits: Document) -> Fragment:
        for document in visits:
            key = document_key(KEY, self.accumulator.facts.run_id, document.key)
            assert self.accumulator.document(key, document)
        return self

    def snapshot(self, **changes: Any) -> Snapshot:
        self.now += SECOND
        return replace(self.accumulator.snapshot(self.now), **changes)

    def close(self, status: str = "completed", *, ends_run: bool = True, **known: Any) -> Snapshot:
        self.now += SECOND
        duration_us = (self.now - self.accumulator.facts.opened_at) // 1000
        return self.accumulator.close(
            self.now, status=status, ends_run=ends_run, duration_us=duration_us, **known
        )


def documents_of(*visits: Document) -> list[DocumentState]:
    """Return the documents of a run with these visits."""
    documents = Fragment().documents(*visits).close().documents
    assert documents is not None
    return documents


class Host:
    """A host's database after the migration, with the host's own connections to it.

    Those of a context manager are kept until the end of the ``with`` block, others for one statement each.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self.engine = self._new_engine(poolclass=sa.NullPool)

    def __enter__(self) -> Self:
        if self.is_postgresql:  # where a connection costs more than a statement
            self.engine = self._new_engine(pool_pre_ping=True)
        return self

    def __exit__(self, *exception: object) -> None:
        self.engine.dispose()

    def _new_engine(self, **options: Any) -> Engine:
        arguments = {"prepare_threshold": None} if "+psycopg:" in self.url else {}  # poolers need this
        return sa.create_engine(self.url, connect_args=arguments, **options)

    @property
    def is_postgresql(self) -> bool:
        return self.engine.dialect.name == "postgresql"

    def add_user(self, id: int = 1) -> None:
        self.insert(
            "users", id=id, email=f"{id}@example.com", password_hash="x", name="n", created_at=CREATED
        )

    def add_analysis(self, id: int = 1, user_id: int = 1, created_at: datetime = CREATED) -> None:
        self.insert(
            "analyses",
            id=id,
            user_id=user_id,
            num_candidates=1,
            num_criteria=1,
            cost_usd=1,
            created_at=created_at,
        )

    def add_file(self, analysis_id: int, name: str, content: bytes = b"12345", id: int | None = None) -> None:
        known: dict[str, Any] = {} if id is None else {"id": id}
        self.insert(
            "candidate_files",
            analysis_id=analysis_id,
            file_name=name,
            file_bytes=content,
            extracted_text="t",
            created_at=CREATED,
            **known,
        )

    def insert(self, table: str, **values: Any) -> None:
        columns, marks = ", ".join(values), ", ".join(f":{name}" for name in values)
        self.execute(f"INSERT INTO {table} ({columns}) VALUES ({marks})", **values)

    def execute(self, statement: str, **values: Any) -> None:
        """Execute a statement. SQLAlchemy binds times and days: the adapters of `sqlite3` are deprecated."""
        times = [
            sa.bindparam(name, type_=_type_of_time(value))
            for name, value in values.items()
            if _is_time(value)
        ]
        with self.engine.begin() as connection:
            connection.execute(sa.text(statement).bindparams(*times), values)

    def rows(self, table: str, **where: Any) -> list[dict[str, Any]]:
        with self.engine.connect() as connection:
            described = described_table(connection, table)
            query = sa.select(described).filter_by(**where).order_by(*described.primary_key.columns)
            return [dict(row) for row in connection.execute(query).mappings()]

    def row(self, table: str, **where: Any) -> dict[str, Any]:
        (only_row,) = self.rows(table, **where)
        return only_row

    @contextmanager
    def holding(self, statement: str) -> Iterator[Connection]:
        """Execute `statement` in a transaction of the host, which stays open within the block."""
        with self.engine.connect() as connection, connection.begin():
            connection.execute(sa.text(statement))
            yield connection


_described: dict[tuple[object, ...], sa.Table] = {}


def described_table(connection: Connection, name: str) -> sa.Table:
    """Return a table of a database, which is described once for all databases where it has these columns."""
    if connection.dialect.name == "sqlite":
        columns = [tuple(row) for row in connection.execute(sa.text(f"PRAGMA table_info({name})"))]
    else:
        nothing = connection.execute(sa.text(f"SELECT * FROM {name} WHERE false"))
        columns = [tuple(column[:6]) for column in nothing.cursor.description or ()]
    key = (name, connection.dialect.name, *columns)
    if key not in _described:
        described = sa.Table(name, sa.MetaData(), autoload_with=connection, resolve_fks=False)
        _described[key] = described
    return _described[key]


def _is_time(value: Any) -> bool:
    return isinstance(value, date) and getattr(value, "tzinfo", None) is None


def _type_of_time(value: date) -> sa.types.TypeEngine[Any]:
    return sa.DateTime() if isinstance(value, datetime) else sa.Date()


def moment(epoch_ns: int) -> datetime:
    """Return a time in epoch nanoseconds as naive UTC, as in telemetry's tables."""
    return datetime.fromtimestamp(epoch_ns / SECOND, UTC).replace(tzinfo=None)
