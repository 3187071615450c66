"""Cells of exported and archived files: nothing is rounded, and NULL is distinct from an empty text."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Final

import sqlalchemy as sa

Kinds = Mapping[str, Any]
"""Types of SQLAlchemy by column name."""

NOTHING: Final = r"\N"
"""NULL, as in PostgreSQL's COPY."""


def kinds_of(table: sa.Table) -> Kinds:
    """Return the types of a table's columns."""
    return {column.name: column.type for column in table.c}


def exact(kind: Any, value: Any) -> Any:
    """Return a value in the type of its column: SQLite has numbers for booleans, text for times of views."""
    if value is None:
        return None
    if isinstance(kind, sa.Boolean):
        return bool(value)
    if isinstance(kind, sa.Integer):
        return int(value)
    if isinstance(kind, sa.Float) or (isinstance(kind, sa.Numeric) and not kind.asdecimal):
        return float(value)
    if isinstance(kind, sa.Numeric):
        return Decimal(value).quantize(Decimal(1).scaleb(-(kind.scale or 0)))
    if isinstance(value, str) and isinstance(kind, sa.DateTime):
        return datetime.fromisoformat(value)
    if isinstance(value, str) and isinstance(kind, sa.Date):
        return date.fromisoformat(value)
    return value


def to_text(value: Any) -> str:
    """Return an exact value as a CSV cell; a text that begins with a backslash gets a second one."""
    if value is None:
        return NOTHING
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ")
    if isinstance(value, Decimal):
        return f"{value:f}"
    if isinstance(value, str):
        return f"\\{value}" if value.startswith("\\") else value
    return repr(value) if isinstance(value, int | float) else str(value)


def from_text(kind: Any, text: str) -> Any:
    """Return the value of a CSV cell: the inverse of :func:`to_text`.

    Raises:
        ValueError: if the text is not a value of the type.
    """
    if text == NOTHING:
        return None
    if isinstance(kind, sa.Boolean):
        return {"true": True, "false": False}[text]
    if isinstance(kind, sa.String):
        return text.removeprefix("\\")
    return exact(kind, text)
