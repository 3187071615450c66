"""The problems of each analysis and how they were handled, in sentences."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from rich.table import Table
from rich.text import Text

from .database import Analysis
from .submission import Submitted

EVENTS = {
    "app_retries": "call repeated by the application after the client had given up",
    "fallbacks": "answer unusable and replaced by a default; its candidate does not count as scored",
}


def problems(
    analyses: Sequence[Analysis], submitted: Sequence[Submitted], unaccounted: dict[str, int]
) -> Table:
    """Return one line a problem, by analysis."""
    table = Table.grid(padding=(0, 2))
    uploads = {each.analysis: each.received for each in submitted}
    for analysis in analyses:
        sentences = [*_of_files(uploads[analysis.id]), *_of_calls(analysis)]
        for number, sentence in enumerate(sentences or ["none"]):
            table.add_row(Text(f"analysis {analysis.id}" if number == 0 else "", "cyan"), sentence)
    for reason, count in unaccounted.items():
        table.add_row(Text("cost", "red"), f"{count} × call without a known cost: {reason.replace('_', ' ')}")
    return table


def _of_files(received: Sequence[dict[str, str]]) -> Iterator[str]:
    for file in received:
        if file["outcome"] == "unreadable":
            yield f"unreadable, left out: {file['detail']}"
        elif file["outcome"] == "duplicate":
            yield f"duplicate, stored once: {file['file_name']} = {file['detail']}"


def _of_calls(analysis: Analysis) -> Iterator[str]:
    retries = analysis.retries
    reasons = {"a 429": retries["rate_limit_retries"], "another error": retries["other_retries"]}
    if repeated := [f"{count} after {reason}" for reason, count in reasons.items() if count]:
        total, waited = sum(reasons.values()), retries["backoff_us"] / 1e6
        yield f"{total} × retried by the client: {', '.join(repeated)}; {waited:.1f} s of waiting"
    for name, count in analysis.events.items():
        yield f"{count} × {EVENTS.get(name, name)}"
