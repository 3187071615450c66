"""The absolute state of one fragment of a run, as it travels from the process to the spool and on to SQL.

A snapshot is complete in itself: delivering it twice, late, or after a newer one changes nothing, because
``seq`` grows with every snapshot of a fragment and only the newest counts. It holds no text of the host:
no file name, no prompt, no message.

Units: times are epoch nanoseconds, durations microseconds, sizes bytes, money pico-dollars, scores
    ten-thousandths.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field, fields
from functools import cache
from typing import Any, NamedTuple, Self

from telemetry._internal.values import whole

from .documents import DocumentState

SCHEMA_VERSION = 3
"""Version of the JSON format. A process leaves newer snapshots to one with a newer version of telemetry."""


class NewerSnapshot(ValueError):
    """Raised for a snapshot of a newer version of this code, which is kept but not read."""


class UsageKey(NamedTuple):
    """Key under which usage is added up. ``operation`` is empty for the time of a stage itself."""

    stage: str
    operation: str = ""
    model: str = ""
    service_tier: str = ""
    price_version: str = ""


@dataclass(slots=True)
class Usage:
    """Sums over the calls of one :class:`UsageKey`."""

    calls: int = 0
    attempts: int = 0
    rate_limit_hits: int = 0
    rate_limit_retries: int = 0
    other_retries: int = 0
    backoff_us: int = 0
    retry_after_us: int = 0
    """Of each call, the longest wait that the service asked for."""
    duration_us: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    cache_write_tokens: int = 0
    reasoning_tokens: int = 0
    cost_pico: int = 0
    errors: int = 0
    unpriced: int = 0
    usage_missing: int = 0
    price_source: str = ""
    unmodelled: int = 0
    """Those of the unpriced whose cost does not follow from tokens; older snapshots end before this."""
    quota_hits: int = 0
    spend_limit_hits: int = 0
    saved_pico: int = 0
    opened_at: int | None = None
    """When a stage first opened; None for calls."""
    closed_at: int | None = None
    """When a stage last closed, or was last seen open."""
    output_pico: int = 0
    """Of ``cost_pico``, for output."""

    def add(self, other: Usage) -> None:
        """Add ``other`` to this. Written out field by field for speed, because every call needs it."""
        self.calls += other.calls
        self.attempts += other.attempts
        self.rate_limit_hits += other.rate_limit_hits
        self.rate_limit_retries += other.rate_limit_retries
        self.other_retries += other.other_retries
        self.backoff_us += other.backoff_us
        self.retry_after_us += other.retry_after_us
        self.duration_us += other.duration_us
        self.input_tokens += other.input_tokens
        self.output_tokens += other.output_tokens
        self.cached_tokens += other.cached_tokens
        self.cache_write_tokens += other.cache_write_tokens
        self.reasoning_tokens += other.reasoning_tokens
        self.cost_pico += other.cost_pico
        self.errors += other.errors
        self.unpriced += other.unpriced
        self.usage_missing += other.usage_missing
        self.price_source = max(self.price_source, other.price_source)
        self.unmodelled += other.unmodelled
        self.quota_hits += other.quota_hits
        self.spend_limit_hits += other.spend_limit_hits
        self.saved_pico += other.saved_pico
        self.output_pico += other.output_pico
        if other.opened_at is not None:
            self.opened_at = min(other.opened_at, self.opened_at or other.opened_at)
        if other.closed_at is not None:
            self.closed_at = max(other.closed_at, self.closed_at or other.closed_at)


_NO_SUMS = ("price_source", "opened_at", "closed_at")
USAGE_SUMS = tuple(entry.name for entry in fields(Usage) if entry.name not in _NO_SUMS)
"""The fields of :class:`Usage` that add up."""


@dataclass(slots=True)
class Snapshot:
    """The state of one fragment; for the units, see the module."""

    run_id: str
    fragment_id: str
    process_id: str
    kind: str
    seq: int
    opened_at: int
    taken_at: int
    is_root: bool = True
    closed_at: int | None = None
    ends_run: bool = False
    """Whether this fragment's close is the end of the run."""
    interrupted: bool = False
    """Set by a takeover if the process died while the fragment was open."""
    duration_us: int = 0
    status: str = "running"
    """Status that the host or an exception set; that of the rollup may differ."""
    synthetic: bool = False
    user_id: int | None = None
    subject: str | None = None
    analysis_id: int | None = None
    enqueued_at: int | None = None
    candidates: int | None = None
    criteria: int | None = None
    jd_bytes: int | None = None
    jd_characters: int | None = None
    jd_type: str | None = None
    trace_id: str | None = None
    trace_sampled: bool = False
    usage: dict[UsageKey, Usage] = field(default_factory=dict)
    counters: dict[str, int] = field(default_factory=dict)
    errors: dict[tuple[str, str], int] = field(default_factory=dict)
    """Errors by stage and type."""
    open_calls: int = 0
    """Calls under way, and one more if a call may not have been counted because of an internal error.

    When the fragment is closed or its process dead, they stay unfinished.
    """
    finished_late: int = 0
    """Calls that another fragment of the run counted as unfinished and that ended after all."""
    documents: list[DocumentState] | None = None
    """Only in the final snapshot."""
    shed: int = 0
    """Documents that were dropped at the size limit of the spool."""

    @property
    def is_closed(self) -> bool:
        """Whether the fragment has its final state."""
        return self.closed_at is not None

    @property
    def is_late(self) -> bool:
        """Whether it is a late fragment, which has no handle and is closed from the start."""
        return not self.is_root and self.closed_at == self.opened_at

    @property
    def is_loose(self) -> bool:
        """Whether it has no handle that could close it: it is a late fragment, or of the orphan run."""
        return self.is_late or self.kind == "orphan"

    @property
    def is_under_way(self) -> bool:
        """Whether a fragment or a call has no recorded end if the process dies now."""
        return not self.is_closed or (self.is_loose and self.open_calls > 0)

    def stand_in(self) -> Snapshot:
        """Return a placeholder for this fragment, which cannot be stored.

        It counts as one unfinished call, so that the cost of the run is incomplete. Any snapshot of the
        fragment replaces it.
        """
        return Snapshot(
            run_id=self.run_id,
            fragment_id=self.fragment_id,
            process_id=self.process_id,
            kind=self.kind,
            seq=-1,
            opened_at=self.opened_at,
            taken_at=self.taken_at,
            is_root=False,
            closed_at=self.opened_at,
            synthetic=self.synthetic,
            open_calls=1,
        )

    def to_json(self) -> str:
        """Return the snapshot as one JSON object; values that JSON cannot express become numbers, or null."""
        state = _shallow(self)
        state["usage"] = [[*key, *_shallow(usage).values()] for key, usage in self.usage.items()]
        if self.documents is not None:
            state["documents"] = [_shallow(document) for document in self.documents]
        state["errors"] = [[*key, count] for key, count in self.errors.items()]
        return json.dumps({"schema": SCHEMA_VERSION, **state}, separators=(",", ":"), default=whole)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Parse what :meth:`to_json` wrote.

        Raises:
            NewerSnapshot: if a newer version wrote it.
            ValueError: if it is not a snapshot, or truncated.
        """
        state = read_object(text)
        for name in ("database", "database_user"):  # set by the spool
            state.pop(name, None)
        return cls.from_state(state)

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Self:
        """Read the object that :meth:`to_json` wrote, without its schema.

        Raises:
            ValueError: if it is not a snapshot.
        """
        try:
            keys = len(UsageKey._fields)
            state["usage"] = {UsageKey(*row[:keys]): Usage(*row[keys:]) for row in state["usage"]}
            state["errors"] = {(stage, kind): count for stage, kind, count in state["errors"]}
            if state["documents"] is not None:
                state["documents"] = [DocumentState(**document) for document in state["documents"]]
            return cls(**state)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a snapshot: {error}") from None


def _shallow(instance: Any) -> dict[str, Any]:
    """Return the fields by name. ``asdict`` would also copy the values, which costs the application time."""
    return {name: getattr(instance, name) for name in _field_names(instance.__class__)}


@cache
def _field_names(kind: Any) -> tuple[str, ...]:
    return tuple(entry.name for entry in fields(kind))


def read_object(text: str) -> dict[str, Any]:
    """Return the JSON object in ``text`` without its schema, which is checked.

    Raises:
        NewerSnapshot: if a newer version wrote it.
        ValueError: if it is truncated, or is no snapshot.
    """
    state = json.loads(text, object_pairs_hook=_unique_keys)
    if not isinstance(state, dict):
        raise ValueError("not a snapshot: no JSON object")
    schema = state.pop("schema", None)
    if not isinstance(schema, int):
        raise ValueError("not a snapshot: no schema version")
    if schema > SCHEMA_VERSION:
        raise NewerSnapshot(f"schema {schema} is newer than {SCHEMA_VERSION}")
    return state


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    state = dict(pairs)
    if len(state) < len(pairs):
        raise ValueError("not a snapshot: a key is there twice")
    return state
