"""Bins of documents by size and by length, in SQL."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Bins:
    """Ranges of a number, in the order of their names."""

    names: tuple[str, ...]
    limits: tuple[int, ...]
    """Where each but the first begins."""

    def place(self, column: str) -> str:
        """Return the place of the bin of a column, from 1."""
        return f"width_bucket({column}, ARRAY[{', '.join(map(str, self.limits))}]) + 1"

    def name(self, place: str) -> str:
        """Return the name of the bin at a place."""
        listed = ", ".join(f"'{name}'" for name in self.names)
        return f"(ARRAY[{listed}])[{place}]"

    def counted(self, column: str, table: str) -> str:
        """Return ``counted``, a part of a ``WITH``: the number of rows in each bin, also in an empty one."""
        listed = ", ".join(f"('{name}')" for name in self.names)
        return f"""filled AS MATERIALIZED (
  SELECT {self.name(self.place(column))} AS bin, count(*) AS number FROM {table} WHERE {column} IS NOT NULL GROUP BY 1),
counted AS (
  SELECT each.bin, coalesce(filled.number, 0) AS number
  FROM (VALUES {listed}) AS each(bin) LEFT JOIN filled ON filled.bin = each.bin)"""


SIZES: Final = Bins(
    ("1: < 50 kB", "2: 50–100 kB", "3: 100–250 kB", "4: 0.25–1 MB", "5: ≥ 1 MB"),
    (50_000, 100_000, 250_000, 1_000_000),
)
LENGTHS: Final = Bins(
    ("a: < 1 K", "b: 1–2.5 K", "c: 2.5–5 K", "d: 5–10 K", "e: ≥ 10 K"), (1_000, 2_500, 5_000, 10_000)
)
