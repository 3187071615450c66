"""Check that the SQL of a panel reads only views, columns and values that exist, when it is built."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from typing import Final

import sqlglot
from sqlglot import exp
from sqlglot.errors import SqlglotError
from sqlglot.optimizer.qualify import qualify

from exporters.catalogue.views import definitions
from exporters.reports.lines import WASTE
from exporters.sql.schema.tables import VIEWS
from telemetry import conventions as c

from .expansion import VARIABLE, BadQuery, Moment, expand

VALUES: Final = {
    "batch_size": frozenset(c.BATCH_SIZES),
    "kind": frozenset(c.KINDS),
    "outcome": frozenset(c.DOCUMENT_OUTCOMES),
    "spend_class": frozenset({"useful", "late", "orphan", c.RUNNING, *WASTE}),
    "stage": frozenset({*c.STAGES, ""}),
    "status": frozenset({c.RUNNING, c.UNKNOWN, *c.TERMINAL_STATUSES}),
    "user_action": frozenset({c.SHOWN, *c.WARNING_ACTIONS}),
    "warning_type": frozenset(c.WARNING_TYPES),
}
"""The values of columns that have a closed set of them."""


def check(sql: str) -> None:
    """Refuse SQL with a view, a column or a value that does not exist.

    Raises:
        BadQuery: the message names it.
    """
    try:
        names = (found[1] or found[3] or found[4] for found in VARIABLE.finditer(sql))
        moment = Moment.last(7, dict.fromkeys(names, "all"))
        query = sqlglot.parse_one(expand(sql, moment), dialect="postgres")
        _check_tables(query)
        _check_values(query)
        qualify(query, schema=_schema(), dialect="postgres")
    except SqlglotError as error:
        raise BadQuery(f"{error}\n{sql}") from error


def _check_tables(query: exp.Expr) -> None:
    own = {part.alias for part in query.find_all(exp.CTE)}
    for table in query.find_all(exp.Table):
        if table.name and table.name not in own and table.name not in VIEWS:
            raise BadQuery(f"{table.name} is no view that the role of dashboards may read")


def _check_values(query: exp.Expr) -> None:
    for column, literal in _comparisons(query):
        known = VALUES.get(column)
        if known is not None and literal not in known:
            raise BadQuery(f"{column} is never {literal!r}: it is one of {', '.join(sorted(known))}")


def _comparisons(query: exp.Expr) -> Iterator[tuple[str, str]]:
    for each in query.find_all(exp.EQ, exp.NEQ):
        yield from _literals(each.left, [each.right])
    for each_in in query.find_all(exp.In):
        yield from _literals(each_in.this, each_in.expressions)


def _literals(column: exp.Expr, values: list[exp.Expr]) -> Iterator[tuple[str, str]]:
    if isinstance(column, exp.Column):
        yield from ((column.name, each.name) for each in values if isinstance(each, exp.Literal))


@cache
def _schema() -> dict[str, object]:
    return {name: dict.fromkeys(view.columns, "text") for name, view in definitions().items()}
