"""Check a database by the rules: how many rows break each, and which.

A rule that cannot be checked in a database, because its host has no such columns, is left out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exporters.sql.database.engine import create_engine, transaction
from exporters.sql.host.check import lost, problems
from exporters.sql.host.shape import shapes

from .rules import RULES, Rule

SHOWN: Final = 20
"""Maximum number of ids that are named for each rule."""

AT_ONCE: Final = 2
"""Number of concurrent queries; the engine has as many connections."""

Begin = Callable[[Engine], AbstractContextManager[Connection]]


@dataclass(frozen=True, slots=True)
class Broken:
    """A rule that does not hold."""

    rule: Rule
    count: int
    ids: tuple[str, ...]
    """Ids of the first rows that break it."""


def broken(engine: Engine, shown: int = SHOWN) -> Iterator[Broken]:
    """Yield the rules that do not hold, each with the first rows that break it.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
    """
    # SQLite has one writer, and this engine may be one.
    for rule, count in counted(engine, at_once=1 if engine.dialect.name == "sqlite" else AT_ONCE).items():
        if count:
            query = sa.text(f"{rule.query(engine.dialect.name)} ORDER BY 1 LIMIT {shown}")
            with transaction(engine) as connection:
                ids = tuple(str(row[0]) for row in connection.execute(query))
            yield Broken(rule, count, ids)


def counted(engine: Engine, at_once: int = 1, begin: Begin = transaction) -> dict[Rule, int]:
    """Return how many rows break each of the rules that can be checked in this database.

    Args:
        engine: of the database.
        at_once: number of concurrent transactions, each in its own thread; with 1, all run in this thread.
        begin: begins a transaction.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
    """
    with begin(engine) as connection:
        rules = list(asked(connection))

    def ask(together: list[Rule]) -> dict[Rule, int]:
        with begin(engine) as connection:
            _without_helpers(connection)
            return _counts(connection, together)

    questions = [
        [rule for rule in rules if rule.condition],
        *([rule] for rule in rules if not rule.condition),
    ]
    if at_once == 1:
        answers = [ask(together) for together in questions]
    else:
        with ThreadPoolExecutor(at_once) as pool:
            answers = list(pool.map(ask, questions))
    counts = {rule: count for answer in answers for rule, count in answer.items()}
    return {rule: counts[rule] for rule in rules}


def _without_helpers(connection: Connection) -> None:
    """Disable parallel workers for this transaction: :data:`AT_ONCE` queries run already.

    Each worker would aggregate all stages for its share of the runs, which multiplies the work.
    """
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SET LOCAL max_parallel_workers_per_gather = 0")


def _counts(connection: Connection, together: list[Rule]) -> dict[Rule, int]:
    """Return how many rows break each of ``together``: one rule, or several that have a condition."""
    if len(together) == 1:
        query = f"SELECT COUNT(*) FROM ({together[0].query(connection.dialect.name)}) offender"
    else:
        counts = ", ".join(f"COUNT(CASE WHEN {rule.condition} THEN 1 END)" for rule in together)
        query = f"SELECT {counts} FROM telemetry_runs"
    return dict(zip(together, connection.execute(sa.text(query)).one(), strict=True))


def asked(connection: Connection) -> Iterator[Rule]:
    """Yield the rules that can be checked in this database."""
    there = shapes(connection)
    for rule in RULES:
        if all(table in there and column in there[table].types for table, column in rule.needs):
            yield rule


HOST_TABLES: Final = Rule(
    "host_tables", "the application's tables have what telemetry needs, and what it added", "problem", ""
)
"""A rule about tables, which no query checks."""


def _unfit_tables(engine: Engine) -> list[Broken]:
    with transaction(engine) as connection:
        texts = [str(problem) for problem in (*problems(connection), *lost(connection))]
    return [Broken(HOST_TABLES, len(texts), tuple(texts[:SHOWN]))] if texts else []


def validate(database_url: str) -> list[Broken]:
    """Return the rules that do not hold in a database, with the first rows that break them."""
    engine = create_engine(database_url, for_reading=True)
    try:
        return [*_unfit_tables(engine), *broken(engine)]
    finally:
        engine.dispose()
