"""Values made to fit their columns."""

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
"""What Python and the drivers raise of a value that cannot be stored."""


class Fitted(NamedTuple):
    """A row that fits its table."""

    row: dict[str, Any]
    coerced: tuple[str, ...] = ()
    """Columns whose values had to be cut, bounded or dropped, as ``table.column``."""


class FittedRows(NamedTuple):
    """Rows that fit their table."""

    rows: list[dict[str, Any]]
    coerced: tuple[str, ...] = ()
    """As of :class:`Fitted`; a column stands there once for each row."""


def fit(table: sa.Table, values: Mapping[str, Any]) -> Fitted:
    """Return ``values`` made to fit their columns, and which of them were changed."""
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
    """Return rows made to fit their columns; a key ``row_id``, which is none, stays as it is."""
    fitted = [_fit_row(table, row) for row in rows]
    return FittedRows([each.row for each in fitted], tuple(name for each in fitted for name in each.coerced))


def _fit_row(table: sa.Table, row: Mapping[str, Any]) -> Fitted:
    if "row_id" not in row:
        return fit(table, row)
    fitted = fit(table, {name: value for name, value in row.items() if name != "row_id"})
    return Fitted({"row_id": row["row_id"], **fitted.row}, fitted.coerced)


@cache
def _fitters(table: sa.Table) -> dict[str, Callable[[Any], Any]]:
    return {column.name: _fitter(column.type) for column in table.c}


def _fitter(kind: Any) -> Callable[[Any], Any]:
    """Return what makes a value fit a type of column."""
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
            return value  # nearly all are, and every row has many
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
        if -bound <= value <= bound:  # exact, also of a float
            return value  # type: ignore[no-any-return]
        return bound if value > 0 else -bound

    return fitted


def to_datetime(epoch_ns: int | None) -> datetime | None:
    """Return epoch nanoseconds as the naive UTC time our columns hold."""
    if epoch_ns is None:
        return None
    return datetime.fromtimestamp(epoch_ns // 1000 / 1e6, UTC).replace(tzinfo=None)
