"""The status of a run, and its reason. All rules are here; ``docs/reference/status.md`` lists them.

In order of precedence:

1. ``running`` while a fragment is open, or nobody has ended the run.
2. ``failed``, ``interrupted`` or ``cancelled`` if the application said so or a process died.
3. An analysis without candidates, documents and calls got nothing to analyse: ``failed``.
4. All its documents failed: ``failed``.
5. No call of a stage was answered: ``partial_failure`` if the run has a result nevertheless, else ``failed``.
6. Some of its documents failed: ``partial_failure``.
7. Otherwise ``completed``.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from telemetry.conventions import (
    CANCELLED,
    COMPLETED,
    DUPLICATE,
    FAILED,
    INTERRUPTED,
    PARTIAL_FAILURE,
    RUNNING,
    SCORED,
)

from .documents import DocumentState
from .snapshot import Snapshot, Usage, UsageKey

SEVERITY: Final = (RUNNING, COMPLETED, CANCELLED, INTERRUPTED, FAILED)
"""The statuses of fragments, the strongest last."""

APPLICATION: Final = "the application said so"
NOTHING: Final = "nothing was handed in: no candidates, no documents, no calls"
NO_CANDIDATES: Final = "no candidates were handed in"
ALL_DOCUMENTS: Final = "no document was scored: each failed, or has a fallback score"
SOME_DOCUMENTS: Final = "some documents failed, or have a fallback score"
DIED: Final = "a process died, or went silent, before it closed the run"
LEFT: Final = "it was left before its end: by an exit, an interrupt, a signal or a lost handle"
_NO_ANSWER: Final = "no call of stage {} was answered"


class Verdict(NamedTuple):
    """The status of a run, and its reason."""

    status: str
    reason: str = ""
    """One clause; empty for a run that is running, completed or cancelled."""


def judge(
    fragments: Sequence[Snapshot],
    usage: Mapping[UsageKey, Usage],
    documents: Sequence[DocumentState],
    root: Snapshot,
    *,
    is_over: bool,
) -> Verdict:
    """Return the status of a run.

    Args:
        fragments: the newest snapshot of each fragment.
        usage: their usage, added up.
        documents: their documents, merged.
        root: the fragment with the facts of the run.
        is_over: whether all of them have ended, and one of them has ended the run.
    """
    if not is_over:
        return Verdict(RUNNING)
    return (
        _by_fragments(fragments)
        or _by_input(fragments, usage, documents, root)
        or _by_documents(documents)
        or _by_calls(usage, documents)
        or _by_failed_documents(documents)
        or Verdict(COMPLETED)
    )


def _by_fragments(fragments: Iterable[Snapshot]) -> Verdict | None:
    verdicts = {_of_fragment(fragment) for fragment in fragments}
    strongest = max(verdicts, key=lambda verdict: (SEVERITY.index(verdict.status), verdict.reason == DIED))
    return strongest if strongest.status in (FAILED, INTERRUPTED, CANCELLED) else None


def _of_fragment(fragment: Snapshot) -> Verdict:
    if fragment.status == FAILED:  # also by a process that died afterwards
        return Verdict(FAILED, APPLICATION)
    if fragment.interrupted and not fragment.is_loose:
        return Verdict(INTERRUPTED, DIED)
    if fragment.status == INTERRUPTED:
        return Verdict(INTERRUPTED, LEFT)
    return Verdict(fragment.status if fragment.status in SEVERITY else RUNNING)


def _by_input(
    fragments: Iterable[Snapshot],
    usage: Mapping[UsageKey, Usage],
    documents: Sequence[DocumentState],
    root: Snapshot,
) -> Verdict | None:
    """Judge an analysis without candidates; one that announced no number is judged by its calls."""
    if root.kind != "analysis" or documents or root.candidates or any(part.shed for part in fragments):
        return None
    if root.candidates == 0:
        return Verdict(FAILED, NO_CANDIDATES)
    return None if any(sums.calls for sums in usage.values()) else Verdict(FAILED, NOTHING)


def _by_documents(documents: Sequence[DocumentState]) -> Verdict | None:
    failed = _count(documents, FAILED)
    if failed and failed == len(documents) - _count(documents, DUPLICATE):
        return Verdict(FAILED, ALL_DOCUMENTS)
    return None


def _by_calls(usage: Mapping[UsageKey, Usage], documents: Sequence[DocumentState]) -> Verdict | None:
    """Judge a run in which no call of some stage was answered.

    Whether it has a result depends on its documents or, without any, on its other stages.
    """
    calls, errors = Counter[str](), Counter[str]()
    for key, sums in usage.items():
        calls[key.stage] += sums.calls
        errors[key.stage] += sums.errors
    called = [stage for stage in sorted(calls) if calls[stage]]
    dead = [stage for stage in called if calls[stage] == errors[stage]]
    if not dead:
        return None
    has_result = _count(documents, SCORED) if documents else len(dead) < len(called)
    return Verdict(PARTIAL_FAILURE if has_result else FAILED, _NO_ANSWER.format(dead[0]))


def _by_failed_documents(documents: Sequence[DocumentState]) -> Verdict | None:
    return Verdict(PARTIAL_FAILURE, SOME_DOCUMENTS) if _count(documents, FAILED) else None


def _count(documents: Iterable[DocumentState], outcome: str) -> int:
    return sum(document.outcome == outcome for document in documents)
