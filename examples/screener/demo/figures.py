"""What was spent, as one source has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal

TOLERANCE = Decimal("1e-9")
"""Metrics are binary fractions: their dollars may differ from exact ones by this share."""


@dataclass(frozen=True)
class Figures:
    """Sums of everything the demo asked of OpenAI."""

    calls: int
    """Logical calls: what the application asked for."""
    attempts: int
    """HTTP requests these took."""
    rate_limited: int
    """Attempts answered 429."""
    input_tokens: int
    """The cached ones included."""
    cached_tokens: int
    output_tokens: int
    dollars: Decimal


@dataclass(frozen=True)
class Source:
    """Somebody who knows the figures."""

    name: str
    figures: Figures
    is_exact: bool = True
    """Whether its dollars are exact."""


@dataclass(frozen=True)
class Line:
    """One figure as all sources have it, in their order."""

    name: str
    values: list[int | Decimal]
    agrees: bool


def compare(sources: Sequence[Source]) -> list[Line]:
    """Hold the sources against the first of them."""
    return [_line(field.name, sources) for field in fields(Figures)]


def _line(name: str, sources: Sequence[Source]) -> Line:
    values = [getattr(source.figures, name) for source in sources]
    slack = [Decimal(0) if source.is_exact else TOLERANCE * abs(values[0]) for source in sources]
    agrees = all(abs(value - values[0]) <= room for value, room in zip(values, slack, strict=True))
    return Line(name, values, agrees)
