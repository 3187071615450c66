"""Changes values so that they fit their columns."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from functools import cache
from typing import Any, Final, NamedTuple

import sqlalchemy as sa

from telemetry._internal.values import storable

_INTEGER: Final = 2**31 - 1

UNFIT: Final = (TypeError, ValueError, ArithmeticError, LookupError)
"""Errors of Python and the drivers for values that cannot be stored."""


class Fitted(NamedTuple):
    """A row that fits its table."""

    row: dict[str, Any]
    coerced: tuple[str, ...] = ()
    """Columns whose values were cut, bounded or dropped, as ``table.column``."""


class FittedRows(NamedTuple):
    """Rows that fit their table."""

    rows: list[dict[str, Any]]
    coerced: tuple[str, ...] = ()
    """As in :class:`Fitted`; a column is listed once for each row."""


def fit(table: sa.Table, values: Mapping[str, Any]) -> Fitted:
    """Return ``values`` that fit their columns, and which of them were changed."""
    fitters, fitted, coerced = _fitters(table), dict(values), list[str]()
    for name, value in values.items():
        if value is None:
            continue
        fitting = fitters[name](value)
        if fitting is not value and fitting != value:
            coerced.append(f"{table.name}.{name}")
        fitted[name] = fitting
    return Fitted(fitted, tuple(coerced))


def fit_all(table: sa.Table, rows: Iterable[Mapping[str, Any]]) -> FittedRows:
    """Return rows that fit their columns; the key ``row_id``, which is no column, is kept."""
    fitted = [_fit_row(table, row) for row in rows]
    return FittedRows([row.row for row in fitted], tuple(name for row in fitted for name in row.coerced))


def _fit_row(table: sa.Table, row: Mapping[str, Any]) -> Fitted:
    if "row_id" not in row:
        return fit(table, row)
    fitted = fit(table, {name: value for name, value in row.items() if name != "row_id"})
    return Fitted({"row_id": row["row_id"], **fitted.row}, fitted.coerced)


@cache
def _fitters(table: sa.Table) -> dict[str, Callable[[Any], Any]]:
    return {column.name: _fitter(column.type) for column in table.c}


def _fitter(kind: Any) -> Callable[[Any], Any]:
    """Return a function that makes values fit a type of column."""
    if isinstance(kind, sa.String):
        return lambda value: storable(str(value))[: kind.length]
    if isinstance(kind, sa.Integer):
        return _integers(2**63 - 1 if isinstance(kind, sa.BigInteger) else _INTEGER)
    if isinstance(kind, sa.Numeric):
        return _numbers(kind.precision, kind.scale)
    if isinstance(kind, sa.Boolean):
        return bool
    return lambda value: value


def _integers(bound: int) -> Callable[[Any], Any]:
    def fitted(value: Any) -> int | None:
        if type(value) is int and -_INTEGER <= value <= _INTEGER:
            return value  # as are nearly all values, of which every row has many
        if not math.isfinite(value):
            return None
        return max(min(int(value), bound), -bound)

    return fitted


def _numbers(precision: int | None, scale: int | None) -> Callable[[Any], Any]:
    if not precision or not scale:
        return lambda value: value if math.isfinite(value) else None
    bound = Decimal(10) ** (precision - scale) - Decimal(1).scaleb(-scale)

    def fitted(value: Any) -> float | Decimal | None:
        if not math.isfinite(value):
            return None
        if -bound <= value <= bound:  # the comparison is exact, even with a float
            return value  # type: ignore[no-any-return]
        return bound if value > 0 else -bound

    return fitted


def to_datetime(epoch_ns: int | None) -> datetime | None:
    """Return epoch nanoseconds as naive UTC, as in our columns."""
    if epoch_ns is None:
        return None
    return datetime.fromtimestamp(epoch_ns // 1000 / 1e6, UTC).replace(tzinfo=None)
