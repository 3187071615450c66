"""The state of one fragment while its process works on it, which is added up as things happen.

Pure arithmetic under one short lock; no I/O, no SDK, no call into user code. :meth:`Accumulator.snapshot`
gives the absolute state at any time.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace

from telemetry._internal.guard import accounting_errors
from telemetry._internal.run import Document
from telemetry.conventions import Stage

from .call import Call
from .documents import DocumentState, merge_visit
from .snapshot import Snapshot, Usage, UsageKey


class _Clock:
    """The time during which at least one span of a stage was open; concurrent spans do not add up."""

    __slots__ = ("elapsed_ns", "first", "last", "open", "since")

    def __init__(self, now_ns: int) -> None:
        self.open = 0
        self.since = 0
        self.elapsed_ns = 0
        self.first = now_ns
        self.last = now_ns

    def start(self, now_ns: int) -> None:
        if self.open == 0:
            self.since = now_ns
        self.open += 1

    def stop(self, now_ns: int) -> None:
        if self.open == 0:  # its start was interrupted by a signal
            return
        self.open -= 1
        if self.open == 0:
            self.elapsed_ns += max(now_ns - self.since, 0)
            self.last = max(now_ns, self.last)

    def read(self, now_ns: int) -> Usage:
        """Return how long the stage was open, and from when to when."""
        running = max(now_ns - self.since, 0) if self.open else 0
        last = max(now_ns, self.last) if self.open else self.last
        duration_us = (self.elapsed_ns + running) // 1000
        return Usage(duration_us=duration_us, opened_at=self.first, closed_at=last)


class Accumulator:
    """Adds up one fragment. Safe to call from any thread."""

    def __init__(self, facts: Snapshot) -> None:
        """Start from ``facts``, a snapshot that identifies the fragment and has no sums."""
        self._lock = threading.Lock()
        self._facts = facts
        self._usage: dict[UsageKey, Usage] = {}
        self._clocks: dict[str, _Clock] = {}
        self._counters: Counter[str] = Counter()
        self._errors: Counter[tuple[str, str]] = Counter()
        self._documents: dict[str, list[DocumentState]] = {}
        self._open_calls = 0
        self._shows_open = not facts.is_closed
        """Whether the last snapshot shows that something is under way; see :meth:`call_started`."""
        self._errors_before = accounting_errors()
        self._finished_late = 0
        self.is_closed = False
        """Whether the fragment has its final state; later calls belong to a late fragment."""
        self.is_loose = facts.is_closed
        """Whether this is a fragment without a handle: a late one, or one of the orphan run."""
        self.has_changed = True
        """Whether anything happened since the last snapshot."""
        self.is_urgent = False
        """Whether to save it at once, because of its first call, or of a new analysis or status."""

    @property
    def facts(self) -> Snapshot:
        """The facts of the fragment, as of the last change."""
        return self._facts

    def stage_started(self, stage: str, now_ns: int) -> None:
        """Note that a span of ``stage`` opened."""
        with self._lock:
            self._clocks.setdefault(stage, _Clock(now_ns)).start(now_ns)
            self.has_changed = True

    def stage_ended(self, stage: str, now_ns: int) -> None:
        """Note that a span of ``stage`` closed."""
        with self._lock:
            if stage in self._clocks:
                self._clocks[stage].stop(now_ns)
                self.has_changed = True

    def call_started(self) -> bool:
        """Count a call as under way; return whether that must be saved before the request is made.

        A fragment without a handle is closed from the start. If its process dies, only a saved call under way
        shows that it may have spent more than was saved.
        """
        with self._lock:
            self._open_calls += 1
            self.has_changed = True
            return not self._shows_open

    def call_ended(self, call: Call, *, counted_open: bool = True, finished_late: bool = False) -> bool:
        """Add ``call`` and return True, unless the fragment has closed.

        Args:
            call: the ended call.
            counted_open: whether the call was passed to :meth:`call_started` of this accumulator.
            finished_late: whether the call started in another fragment, which has closed.
        """
        with self._lock:
            if self.is_closed or call.added_to is not None:
                return call.added_to is self
            key, usage = call.key(), call.usage()
            known = self._usage.get(key)
            is_urgent = self.is_urgent or not self._usage
            if known is not None:
                usage.add(known)
            # No function is called from here on: a signal handler interrupts before all of this, or after it.
            self._usage[key] = usage
            self.is_urgent = is_urgent
            self._open_calls -= counted_open
            self._finished_late += finished_late
            self.has_changed = True
            call.added_to = self
            return True

    def count(self, name: str, amount: int) -> bool:
        """Add ``amount`` to the counter ``name``; return False if the fragment has closed."""
        with self._lock:
            if self.is_closed:
                return False
            self._counters[name] += amount
            self.has_changed = True
            return True

    def error(self, stage: str | None, error_type: str) -> bool:
        """Add one error; return False if the fragment has closed."""
        with self._lock:
            if self.is_closed:
                return False
            self._errors[stage or Stage.UNATTRIBUTED, error_type] += 1
            self.has_changed = True
            return True

    def document(self, key: str, visit: Document) -> bool:
        """Add a visit to the document with the hash ``key``; return False if the fragment has closed."""
        with self._lock:
            if self.is_closed:
                return False
            merge_visit(self._find_document(key, visit), visit)
            self.has_changed = True
            return True

    def update(self, **facts: object) -> None:
        """Set facts that have changed, such as ``analysis_id``."""
        with self._lock:
            before, self._facts = self._facts, replace(self._facts, **facts)  # type: ignore[arg-type]
            if (before.analysis_id, before.status) != (self._facts.analysis_id, self._facts.status):
                self.is_urgent = True
            self.has_changed = True

    def snapshot(self, now_ns: int) -> Snapshot:
        """Return the state at ``now_ns``; documents come only with a closed fragment."""
        with self._lock:
            return self._snapshot(now_ns)

    def close(self, now_ns: int, **facts: object) -> Snapshot:
        """End the fragment with its last ``facts`` (its ``status``, …) and return its final state."""
        with self._lock:
            self._facts = replace(self._facts, closed_at=now_ns, **facts)  # type: ignore[arg-type]
            self.is_closed, self.is_loose = True, False
            return self._snapshot(now_ns)

    def _snapshot(self, now_ns: int) -> Snapshot:
        self._facts = replace(self._facts, seq=self._facts.seq + 1, taken_at=now_ns)
        # Because of an internal error, a call of this fragment or of another may not have been counted.
        uncounted = accounting_errors() != self._errors_before
        open_calls = max(self._open_calls, 0) + uncounted
        self._shows_open = open_calls > 0 or not self._facts.is_closed
        usage = {key: replace(sums) for key, sums in self._usage.items()}
        for stage, clock in self._clocks.items():
            usage[UsageKey(stage)] = clock.read(now_ns)
        state = replace(
            self._facts,
            usage=usage,
            counters=dict(self._counters),
            errors=dict(self._errors),
            open_calls=open_calls,
            finished_late=self._finished_late,
            documents=self._copy_documents() if self._facts.is_closed else None,
        )
        self.has_changed = self.is_urgent = False
        return state

    def _copy_documents(self) -> list[DocumentState]:
        return [replace(document) for namesakes in self._documents.values() for document in namesakes]

    def _find_document(self, key: str, visit: Document) -> DocumentState:
        namesakes = self._documents.setdefault(key, [])
        for known in namesakes:
            if known.may_be(visit.size, visit.row_id):
                return known
        namesakes.append(DocumentState(key))
        return namesakes[-1]
