"""Merges the fragments of a run into its rollup: pure, independent of order and repetition.

``merge`` takes the newest snapshot of each fragment and returns what the tables hold. Money stays in
integer pico-dollars and scores in ten-thousandths, so that sums of parts equal their whole on every
database.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from decimal import ROUND_HALF_EVEN, Decimal
from typing import TypeVar

from telemetry.conventions import DUPLICATE, FAILED, SCORED

from .documents import DocumentState, merge_documents
from .snapshot import Snapshot, Usage, UsageKey
from .status import judge

_K = TypeVar("_K")

ABOVE_70 = 7_000
FROM_50 = 5_000
"""Limits of the score bands, in ten-thousandths, as scores are stored with four decimals."""


@dataclass(slots=True)
class Scores:
    """Distribution of the candidates' scores: ten-thousandths, and the number in each band."""

    count: int = 0
    average: int | None = None
    median: int | None = None
    minimum: int | None = None
    maximum: int | None = None
    above_70: int = 0
    from_50_to_70: int = 0
    below_50: int = 0

    @classmethod
    def of(cls, scores: Sequence[int]) -> Scores:
        """Return the distribution of ``scores``; averages are rounded half-even."""
        if not scores:
            return cls()
        ranked = sorted(scores)
        middle = ranked[(len(ranked) - 1) // 2] + ranked[len(ranked) // 2]
        return cls(
            count=len(ranked),
            average=_divide(sum(ranked), len(ranked)),
            median=_divide(middle, 2),
            minimum=ranked[0],
            maximum=ranked[-1],
            above_70=sum(score >= ABOVE_70 for score in ranked),
            from_50_to_70=sum(FROM_50 <= score < ABOVE_70 for score in ranked),
            below_50=sum(score < FROM_50 for score in ranked),
        )


@dataclass(slots=True)
class Rollup:
    """The merged state of one run. Units as in :mod:`exporters.rollup.snapshot`."""

    root: Snapshot
    """The fragment with the facts of the run."""
    status: str
    status_reason: str
    """Why the run is no success, in one clause; empty for a success and while it is running."""
    analysis_id: int | None
    started_at: int
    ended_at: int | None
    duration_us: int | None
    queue_wait_us: int | None
    total: Usage
    unfinished: int
    unclosed: int
    """Fragments without a recorded end: what they did after their last snapshot is unknown."""
    shed: int
    usage: dict[UsageKey, Usage]
    counters: dict[str, int]
    errors: dict[tuple[str, str], int]
    documents: list[DocumentState] = field(default_factory=list)
    scores: Scores = field(default_factory=Scores)

    @property
    def cost_complete(self) -> bool:
        """Whether the run's cost is exact; otherwise it is a lower bound."""
        return self.is_complete(self.total.unpriced)

    def is_complete(self, unpriced: int) -> bool:
        """Return whether the cost is complete with ``unpriced`` calls without a price."""
        missing = self.total.usage_missing or self.unfinished or self.unclosed or unpriced
        return self.ended_at is not None and not missing

    @property
    def are_documents_known(self) -> bool:
        """Whether all documents are known: a fragment reports them when it closes."""
        return self.ended_at is not None and not (self.unclosed or self.shed)

    @property
    def failed_documents(self) -> int:
        """Documents that failed, including those with only a fallback score."""
        return _count(self.documents, FAILED)

    @property
    def duplicates(self) -> int:
        """Documents the host recognised as copies."""
        return _count(self.documents, DUPLICATE)


def merge(snapshots: Iterable[Snapshot]) -> Rollup:
    """Merge the fragments of one run.

    Args:
        snapshots: snapshots of one run's fragments, in any order and any number; only the newest of each
            counts.

    Raises:
        ValueError: without a snapshot.
    """
    fragments = newest(snapshots)
    if not fragments:
        raise ValueError("a run without fragments")
    root = min(
        fragments, key=lambda fragment: (not fragment.is_root, fragment.opened_at, fragment.fragment_id)
    )
    usage = _merge_usage(fragments)
    documents = merge_documents(fragment.documents or () for fragment in fragments)
    ended_at = _ended_at(fragments)
    status, reason = judge(fragments, usage, documents, root, is_over=ended_at is not None)
    return Rollup(
        root=root,
        status=status,
        status_reason=reason,
        analysis_id=_first_known(fragments, root, "analysis_id"),
        started_at=root.opened_at,
        ended_at=ended_at,
        duration_us=_duration(fragments, root, ended_at),
        queue_wait_us=None if root.enqueued_at is None else max(root.opened_at - root.enqueued_at, 0) // 1000,
        total=_total(usage),
        unfinished=_unfinished(fragments),
        unclosed=sum(not fragment.is_closed for fragment in fragments),
        shed=sum(fragment.shed for fragment in fragments),
        usage=usage,
        counters=dict(_add(fragment.counters for fragment in fragments)),
        errors=dict(_add(fragment.errors for fragment in fragments)),
        documents=documents,
        scores=Scores.of([d.score for d in documents if d.outcome == SCORED and d.score is not None]),
    )


def newest(snapshots: Iterable[Snapshot]) -> list[Snapshot]:
    """Return the newest snapshot of each fragment, in an order independent of their arrival."""
    fragments: dict[str, Snapshot] = {}
    for snapshot in snapshots:
        known = fragments.get(snapshot.fragment_id)
        if known is None or snapshot.seq > known.seq:
            fragments[snapshot.fragment_id] = snapshot
    return sorted(fragments.values(), key=lambda fragment: (fragment.opened_at, fragment.fragment_id))


def _merge_usage(fragments: Iterable[Snapshot]) -> dict[UsageKey, Usage]:
    merged: dict[UsageKey, Usage] = {}
    for fragment in fragments:
        for key, usage in fragment.usage.items():
            merged.setdefault(key, Usage()).add(usage)
    return dict(sorted(merged.items()))


def _total(usage: dict[UsageKey, Usage]) -> Usage:
    total = Usage()
    for key, sums in usage.items():
        if key.operation:
            total.add(sums)
    return total


def _add(counts: Iterable[dict[_K, int]]) -> Counter[_K]:
    total: Counter[_K] = Counter()
    for count in counts:
        total.update(count)
    return total


def _unfinished(fragments: Iterable[Snapshot]) -> int:
    """Return the number of calls without a recorded end.

    These are the calls left open by ended fragments, less those that ended in another fragment. A call that
    is open in a fragment without a handle may still end: then the next snapshot corrects the number.
    """
    over = [fragment for fragment in fragments if fragment.is_closed or fragment.interrupted]
    left = sum(fragment.open_calls for fragment in over)
    late = sum(fragment.finished_late for fragment in over)
    return max(left - late, 0)


def _ended_at(fragments: Sequence[Snapshot]) -> int | None:
    """Return when the run ended; None while a fragment is open or the run has not been ended."""
    if not all(fragment.interrupted or fragment.is_closed for fragment in fragments):
        return None
    if not any(
        fragment.ends_run or (fragment.interrupted and not fragment.is_late) for fragment in fragments
    ):
        return None
    return max(
        (fragment.closed_at or fragment.taken_at for fragment in fragments if not fragment.is_late),
        default=fragments[0].opened_at,
    )


def _duration(fragments: Sequence[Snapshot], root: Snapshot, ended_at: int | None) -> int | None:
    """Return the root's own measurement if it is the only fragment, else the time until the last end.

    If its process died, the last end is the last snapshot; None if that is the one from its start.
    """
    if ended_at is None:
        return None
    if not root.is_closed:
        return max(ended_at - root.opened_at, 0) // 1000 or None
    if all(fragment is root or fragment.is_late for fragment in fragments):
        return root.duration_us
    return max(ended_at - root.opened_at, 0) // 1000


def _first_known(fragments: Sequence[Snapshot], root: Snapshot, name: str) -> int | None:
    for fragment in (root, *fragments):
        value: int | None = getattr(fragment, name)
        if value is not None:
            return value
    return None


def _count(documents: Iterable[DocumentState], outcome: str) -> int:
    return sum(document.outcome == outcome for document in documents)


def _divide(total: int, count: int) -> int:
    return int((Decimal(total) / count).to_integral_value(ROUND_HALF_EVEN))
