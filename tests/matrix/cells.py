"""The cells of the matrix: kinds of calls, their outcomes, and synchronous and asynchronous clients."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from tests.matrix.kinds import KINDS, Kind
from tests.matrix.outcomes import OUTCOMES, Outcome, mark

Variant = Literal[
    "made after set-up", "made before set-up", "with_options", "own HTTP client", "own send", "Azure"
]
USUAL: Variant = "made after set-up"
VARIANTS: tuple[Variant, ...] = (
    "made before set-up",
    "with_options",
    "own HTTP client",
    "own send",
    "Azure",
)
VARIED_KINDS = {
    "chat",
    "chat, streamed with usage",
    "chat, parse()",
    "chat, post()",
    "responses",
    "embeddings",
}
VARIED_OUTCOMES = {"success", "429, then success", "refused as invalid", "timeout, then success", "cancelled"}


@dataclass(frozen=True)
class Cell:
    """One combination to try."""

    kind: Kind
    outcome: Outcome
    is_async: bool
    variant: Variant = USUAL

    @property
    def row(self) -> str:
        """The row of the table in which it is."""
        return self.kind.name if self.variant == USUAL else f"client: {self.variant}"

    @property
    def name(self) -> str:
        client = "" if self.variant == USUAL else f" · client {self.variant}"
        return f"{self.kind.name} · {self.outcome.name} · {'async' if self.is_async else 'sync'}{client}"

    @property
    def text(self) -> str:
        """A prompt that no other cell sends."""
        return f"{mark(self.outcome)} {self.name}"

    @property
    def api_key(self) -> str:
        """The key by which the ledger identifies its calls."""
        return hashlib.sha256(self.name.encode()).hexdigest()


def cells() -> Iterator[Cell]:
    """Yield every cell."""
    for kind in KINDS:
        for outcome in OUTCOMES:
            if outcome.happens_to(kind):
                yield from _clients(kind, outcome, USUAL)
    for variant in VARIANTS:
        for kind in KINDS:
            for outcome in OUTCOMES:
                if kind.name in VARIED_KINDS and outcome.name in VARIED_OUTCOMES:
                    yield from _clients(kind, outcome, variant)


def _clients(kind: Kind, outcome: Outcome, variant: Variant) -> Iterator[Cell]:
    for is_async in (True,) if outcome.only_async else (False, True):
        yield Cell(kind, outcome, is_async, variant)


ROWS = tuple(dict.fromkeys(cell.row for cell in cells()))
"""Rows of the table, in order."""
