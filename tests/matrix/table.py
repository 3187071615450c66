"""The matrix as a table, with a row for each kind of call and a column for each outcome."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from tests.matrix.cells import ROWS
from tests.matrix.judging import Verdict
from tests.matrix.outcomes import OUTCOMES
from tests.matrix.results import Results

FIELD = 7
"""Width of a field."""
EXACT, UNKNOWN, RED, ABSENT, NOTHING = "✓", "?", "✗", "-", " "


def table(results: Sequence[Results]) -> Iterator[str]:
    """Yield the lines of the table; each field has a character for every version."""
    results = sorted(results, key=lambda result: int(result.openai.split(".")[0]))
    versions = ", ".join(result.openai for result in results)
    width = max(map(len, ROWS))
    yield f"Each field: openai {versions}, synchronous and asynchronous clients together."
    yield f"{EXACT} exact to the last token and pico-dollar   {UNKNOWN} counted as unknown, with its reason"
    yield f"{RED} wrong   {ABSENT} this version has no such call"
    yield ""
    for line in _headings():
        yield f"{'':{width}}  {line}"
    for row in ROWS:
        fields = ("".join(_sign(result, row, outcome.name) for result in results) for outcome in OUTCOMES)
        yield f"{row:{width}}  {' '.join(f'{field:{FIELD}}' for field in fields)}".rstrip()
    yield ""
    for result in results:
        yield _sum(result)


def _headings() -> Iterator[str]:
    """Yield the headings, one word below the other."""
    words = [outcome.short.split() for outcome in OUTCOMES]
    for index in range(max(map(len, words))):
        line = (heading[index] if index < len(heading) else "" for heading in words)
        yield " ".join(f"{word:{FIELD}}" for word in line).rstrip()


def _sign(results: Results, row: str, outcome: str) -> str:
    verdicts = [
        verdict
        for cell, verdict in results.verdicts.items()
        if cell.row == row and cell.outcome.name == outcome
    ]
    return _worst(verdicts) if verdicts else NOTHING


def _worst(verdicts: Sequence[Verdict]) -> str:
    if any(verdict.complaints for verdict in verdicts):
        return RED
    if all(verdict.absent for verdict in verdicts):
        return ABSENT
    exact = [verdict.is_exact for verdict in verdicts if not verdict.absent]
    return EXACT if all(exact) else UNKNOWN


def _sum(results: Results) -> str:
    verdicts = results.verdicts.values()
    red = sum(bool(verdict.complaints) for verdict in verdicts)
    absent = sum(bool(verdict.absent) for verdict in verdicts)
    exact = sum(verdict.is_exact and not verdict.complaints for verdict in verdicts)
    unknown = len(verdicts) - red - absent - exact
    counts = f"{exact} exact, {unknown} unknown with their reason, {red} wrong, {absent} absent"
    return f"openai {results.openai}: {len(verdicts)} cells, {counts}"
