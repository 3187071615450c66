"""Columns with a meaning and a unit for the catalogue, which are not stored in the database."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

import sqlalchemy as sa

UNIT: Final = "unit"
"""The key of the unit in a column's ``info``."""

BYTES: Final = "bytes"
CHARACTERS: Final = "characters"
DOLLARS: Final = "dollars"
MICROSECONDS: Final = "µs"
PICO_DOLLARS: Final = "10⁻¹² dollars"
SECONDS: Final = "seconds"
SHARE: Final = "0 to 1"
TOKENS: Final = "tokens"
UTC: Final = "UTC"


def column(
    name: str, kind: Any, meaning: str, unit: str = "", *constraints: sa.ForeignKey, **options: Any
) -> sa.Column[Any]:
    """Return a column.

    Args:
        name: name of the column.
        kind: its type.
        meaning: a sentence, for people.
        unit: unit of its numbers; times are in UTC.
        constraints: foreign keys.
        options: more options of ``sa.Column``.
    """
    unit = unit or (UTC if isinstance(kind, sa.DateTime) else "")
    return sa.Column(name, kind, *constraints, doc=meaning, info={UNIT: unit}, **options)


def listed(values: Iterable[str]) -> str:
    """Return the possible values of a column as a part of a sentence."""
    return ", ".join(f"`{value}`" for value in values)
