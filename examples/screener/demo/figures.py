"""What was spent, as one source has it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from decimal import Decimal

TOLERANCE = Decimal("1e-9")
"""The share by which dollars in metrics, which are floats, may differ from exact ones."""


@dataclass(frozen=True)
class Figures:
    """Sums over all of the demo's calls to OpenAI."""

    calls: int
    """Logical calls of the application."""
    attempts: int
    """HTTP requests for these calls."""
    rate_limited: int
    """Attempts answered 429."""
    input_tokens: int
    """Including cached ones."""
    cached_tokens: int
    output_tokens: int
    dollars: Decimal


@dataclass(frozen=True)
class Source:
    """A source of the figures."""

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
    """Compare all sources with the first one."""
    return [_line(field.name, sources) for field in fields(Figures)]


def _line(name: str, sources: Sequence[Source]) -> Line:
    values = [getattr(source.figures, name) for source in sources]
    slack = [Decimal(0) if source.is_exact else TOLERANCE * abs(values[0]) for source in sources]
    agrees = all(abs(value - values[0]) <= room for value, room in zip(values, slack, strict=True))
    return Line(name, values, agrees)
