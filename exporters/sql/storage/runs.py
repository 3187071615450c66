"""T1, the first of the writer's three transactions: a snapshot is stored, and its run derived anew.

Only our own tables are touched. The run's row is locked *before* the fragments are read: two processes that
deliver fragments of one run at the same time would otherwise each miss the other's.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exporters.metrics.totals import Totals
from exporters.rollup.merge import Rollup, merge
from exporters.rollup.snapshot import (
    SCHEMA_VERSION,
    USAGE_SUMS,
    DocumentState,
    NewerSnapshot,
    Snapshot,
    Usage,
    UsageKey,
)
from exporters.sql.database.engine import PERMANENT, transaction
from exporters.sql.database.fitting import fit, to_datetime
from exporters.sql.database.statements import insert, upsert
from exporters.sql.schema import tables
from exporters.sql.schema.tables import runs
from telemetry.conventions import RUNNING, UNKNOWN

from . import archived, repriced

_log = logging.getLogger("telemetry")


@dataclass(frozen=True, slots=True)
class Delivered:
    """What the database holds of a run after a snapshot was delivered."""

    run_id: str
    status: str
    analysis_id: int | None
    user_id: int | None
    is_shown: bool
    """Whether the host's row shows an earlier state of it."""


when_ended: Final[list[Callable[[], object]]] = []
"""Called after a run that is over was stored: by whoever keeps answers in which it is missing."""


def deliver(engine: Engine, snapshot: Snapshot, totals: Totals) -> Delivered:
    """Store ``snapshot`` and derive its run; safe to repeat, in any order.

    Raises:
        sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
        NewerSnapshot: when a newer version of this code has written other fragments of the run.
        ArchivedRun: when it is news of a run that is in an archive.
    """
    try:
        with transaction(engine) as connection:
            delivered = _deliver(connection, snapshot, totals)
    except archived.AlreadyArchived:
        return Delivered(snapshot.run_id, UNKNOWN, None, None, is_shown=False)
    if delivered.status != RUNNING:
        for tell in when_ended:
            tell()
    return delivered


def _deliver(connection: Connection, snapshot: Snapshot, totals: Totals) -> Delivered:
    version = _lock_run(connection, snapshot)
    if not version:
        archived.refuse(connection, snapshot)
    is_news = _store_fragment(connection, snapshot, totals)
    is_marked = snapshot.interrupted and _mark_interrupted(connection, snapshot)
    known = snapshot if is_news and not snapshot.interrupted else None
    rollup = merge(_fragments(connection, snapshot.run_id, known))
    mine = runs.c.run_id == snapshot.run_id
    # An intake may be charged to an analysis of which its own fragments know nothing.
    told = (runs.c.analysis_ref, runs.c.user_ref, runs.c.projected_version)
    if is_news or is_marked:
        values = _store_parts(connection, snapshot.run_id, rollup, totals, is_new=not version)
        stored = connection.execute(runs.update().where(mine).values(values).returning(*told)).one()
    else:
        stored = connection.execute(sa.select(*told).where(mine)).one()
    shown = bool(stored.projected_version)
    return Delivered(snapshot.run_id, rollup.status, stored.analysis_ref, stored.user_ref, shown)


def interrupt_process(engine: Engine, process_id: str, totals: Totals) -> list[Delivered]:
    """Mark open fragments of a dead process as interrupted: perhaps only the database has them."""
    return _interrupt(engine, tables.fragments.c.process_id == process_id, totals)


def interrupt_stale(engine: Engine, age: timedelta, totals: Totals) -> list[Delivered]:
    """Mark open fragments as interrupted that were not heard of for ``age``, by the database's clock.

    Their process may have died together with its disk. One that lives after all takes the mark back with
    its next word.
    """
    with transaction(engine) as connection:
        now: datetime = connection.execute(sa.select(tables.utc_now())).scalar_one()
    return _interrupt(engine, tables.fragments.c.seen_at < now - age, totals)


def _interrupt(engine: Engine, which: sa.ColumnElement[bool], totals: Totals) -> list[Delivered]:
    """Mark what is open, each on its own: one that cannot be marked, or not by us, keeps no other from it."""
    table = tables.fragments
    unmarked = table.c.interrupted_seq.is_distinct_from(table.c.seq)
    with transaction(engine) as connection:
        query = sa.select(table.c.state).where(which, table.c.closed_at.is_(None), unmarked)
        states = [state for (state,) in connection.execute(query) if state]
    delivered = []
    for state in states:
        try:
            delivered.append(deliver(engine, replace(Snapshot.from_json(state), interrupted=True), totals))
        except NewerSnapshot:
            continue  # a process of that version will mark it
        except (*PERMANENT, ValueError, TypeError, ArithmeticError, LookupError) as error:
            _log.error("telemetry could not mark a run as interrupted (%s)", type(error).__name__)
    return delivered


def claim_intake(engine: Engine, run_id: str) -> list[str]:
    """Charge the intake runs of a subject to the first analysis linked to it; return those that were charged.

    Called after T1 for the intake and for the analysis alike, so that whichever comes last sees the other.
    What a later analysis was charged with, because its process was quicker, goes to the first one.
    """
    with transaction(engine) as connection:
        me = connection.execute(sa.select(runs).where(runs.c.run_id == run_id)).mappings().one_or_none()
        if me is None or me["subject"] is None:
            return []
        analysis = _first_analysis(connection, me)
        if analysis is None:
            return []
        charged_before = _charged_to_others(connection, me, analysis)
        claimed = [*_unclaimed_intakes(connection, me), *charged_before]
        for intake in claimed:
            change = {**_SHOWN_NOWHERE, "analysis_ref": analysis, "version": runs.c.version + 1}
            connection.execute(runs.update().where(runs.c.run_id == intake).values(change))
        others = sorted(set(charged_before.values()))
        shown_there = sa.and_(runs.c.kind == "analysis", runs.c.analysis_ref.in_(others))
        if others:
            connection.execute(runs.update().where(shown_there).values(version=runs.c.version + 1))
        return claimed


_SHOWN_NOWHERE: dict[str, Any] = {
    "analysis_seen_at": None,
    "analysis_created_at": None,
    "projected_version": 0,
    "files_pending": 0,
}
"""What is noted of a run that no row of the host's shows."""


def _first_analysis(connection: Connection, me: Any) -> int | None:
    query = (
        sa.select(runs.c.analysis_ref)
        .where(runs.c.kind == "analysis", runs.c.subject == me["subject"], runs.c.analysis_ref.is_not(None))
        .where(runs.c.user_ref.is_not_distinct_from(me["user_ref"]))
        .order_by(runs.c.started_at, runs.c.run_id)
        .limit(1)
    )
    return connection.execute(query).scalar()


def _charged_to_others(connection: Connection, me: Any, first: int) -> dict[str, int]:
    """Return the intakes that a later analysis of the subject was charged with, and which that was."""
    theirs = sa.and_(runs.c.subject == me["subject"], runs.c.user_ref.is_not_distinct_from(me["user_ref"]))
    others = sa.select(runs.c.analysis_ref).where(
        theirs, runs.c.kind == "analysis", runs.c.analysis_ref != first
    )
    query = (
        sa.select(runs.c.run_id, runs.c.analysis_ref)
        .where(theirs, runs.c.kind == "intake", runs.c.analysis_ref.in_(others))
        .order_by(runs.c.run_id)
        .with_for_update(skip_locked=True)
    )
    found = {run_id: analysis for run_id, analysis in connection.execute(query)}
    return {run_id: found[run_id] for run_id in found if not _is_linked(connection, run_id)}


def _is_linked(connection: Connection, run_id: str) -> bool:
    """Say whether the application itself has linked a run, or a newer version may know that it has."""
    try:
        return any(part.analysis_id is not None for part in _fragments(connection, run_id, None))
    except NewerSnapshot:
        return True


def _unclaimed_intakes(connection: Connection, me: Any) -> list[str]:
    query = (
        sa.select(runs.c.run_id)
        .where(runs.c.kind == "intake", runs.c.subject == me["subject"], runs.c.analysis_ref.is_(None))
        .where(runs.c.user_ref.is_not_distinct_from(me["user_ref"]))
        .order_by(runs.c.run_id)
        .with_for_update(skip_locked=True)
    )
    return list(connection.execute(query).scalars())


def _lock_run(connection: Connection, snapshot: Snapshot) -> int:
    """Make sure that the run's row is there, and hold it; return its version, which is 0 if it was not."""
    row = {
        "run_id": snapshot.run_id,
        "kind": snapshot.kind,
        "source": "spans",
        "synthetic": snapshot.synthetic,
        "version": 0,
        "status": RUNNING,
        "cost_complete": False,
    }
    new = insert(connection.dialect.name, runs).values(row)
    locked = new.on_conflict_do_update(index_elements=["run_id"], set_={"kind": snapshot.kind})
    version: int = connection.execute(locked.returning(runs.c.version)).scalar_one()
    return version


def _store_fragment(connection: Connection, snapshot: Snapshot, totals: Totals) -> bool:
    """Store a snapshot if it is newer than what is known of its fragment; say whether it was."""
    table = tables.fragments
    row = {
        "run_id": snapshot.run_id,
        "fragment_id": snapshot.fragment_id,
        "seq": snapshot.seq,
        "is_root": snapshot.is_root,
        "process_id": snapshot.process_id,
        "schema_v": SCHEMA_VERSION,
        "opened_at": to_datetime(snapshot.opened_at),
        "closed_at": None if snapshot.is_under_way else to_datetime(snapshot.closed_at),
        "state": snapshot.to_json(),
    }
    new = insert(connection.dialect.name, table).values(
        {**fit(table, row, totals), "seen_at": tables.utc_now()}
    )
    keys = [column.name for column in table.primary_key]
    changes = {name: new.excluded[name] for name in (*row, "seen_at") if name not in keys}
    newer = new.on_conflict_do_update(
        index_elements=keys, set_=changes, where=table.c.seq < new.excluded.seq
    ).execution_options(preserve_rowcount=True)
    if connection.execute(newer).rowcount > 0:
        return True
    connection.execute(table.update().where(_is(snapshot)).values(seen_at=tables.utc_now()))
    return False


def _mark_interrupted(connection: Connection, snapshot: Snapshot) -> bool:
    table = tables.fragments
    is_open = sa.or_(table.c.closed_at.is_(None), sa.literal(snapshot.is_loose))
    marked = table.update().where(_is(snapshot), is_open, table.c.seq <= snapshot.seq)
    news = marked.where(table.c.interrupted_seq.is_distinct_from(table.c.seq))
    return connection.execute(news.values(interrupted_seq=table.c.seq)).rowcount > 0


def _is(snapshot: Snapshot) -> sa.ColumnElement[bool]:
    table = tables.fragments
    return (table.c.run_id == snapshot.run_id) & (table.c.fragment_id == snapshot.fragment_id)


def _fragments(connection: Connection, run_id: str, known: Snapshot | None) -> list[Snapshot]:
    """Return the fragments of a run; ``known`` is as the database has it, and need not be read."""
    table = tables.fragments
    query = sa.select(table.c.state, table.c.seq, table.c.interrupted_seq).where(table.c.run_id == run_id)
    found = []
    if known is not None:
        found.append(known)
        query = query.where(table.c.fragment_id != known.fragment_id)
    for state, seq, interrupted_seq in connection.execute(query):
        if state:
            interrupted = interrupted_seq is not None and interrupted_seq >= seq
            found.append(replace(Snapshot.from_json(state), interrupted=interrupted))
    return found


def _store_parts(
    connection: Connection, run_id: str, rollup: Rollup, totals: Totals, *, is_new: bool
) -> dict[str, Any]:
    """Store the parts of a run, and return what is to be stored in its own row."""
    usage, row = _usage_rows(run_id, rollup, totals), fit(runs, _run_row(rollup), totals)
    if not is_new:
        row |= repriced.carry(connection, run_id, usage, row, rollup)
    upsert(connection, tables.stage_usage, usage)
    upsert(connection, tables.counters, _counter_rows(run_id, rollup, totals))
    upsert(connection, tables.documents, _document_rows(run_id, rollup.documents, totals))
    analysis = sa.func.coalesce(sa.literal(row.pop("analysis_ref"), sa.BigInteger()), runs.c.analysis_ref)
    return {**row, "analysis_ref": analysis, "version": runs.c.version + 1, "seen_at": tables.utc_now()}


def _run_row(rollup: Rollup) -> dict[str, Any]:
    root, total, scores = rollup.root, rollup.total, rollup.scores
    characters = [document.characters for document in rollup.documents if document.characters is not None]
    sizes = [document.size for document in rollup.documents if document.size is not None]
    return {
        "kind": root.kind,
        "synthetic": root.synthetic,
        "subject": root.subject,
        "user_ref": root.user_id,
        "analysis_ref": rollup.analysis_id,
        "status": rollup.status,
        "status_reason": rollup.status_reason or None,
        "started_at": to_datetime(rollup.started_at),
        "ended_at": to_datetime(rollup.ended_at),
        "enqueued_at": to_datetime(root.enqueued_at),
        "duration_us": rollup.duration_us,
        "queue_wait_us": rollup.queue_wait_us,
        "candidates": _candidates(rollup),
        "criteria": root.criteria,
        "jd_bytes": root.jd_bytes,
        "jd_characters": root.jd_characters,
        "jd_type": root.jd_type,
        "n_documents": len(rollup.documents),
        "n_scored": scores.count,
        "n_failed": rollup.failed_documents,
        "n_duplicates": rollup.duplicates,
        "resume_bytes": sum(sizes) if sizes else None,
        "resume_characters": sum(characters) if characters else None,
        "resume_characters_min": min(characters, default=None),
        "resume_characters_max": max(characters, default=None),
        "score_avg": _share(scores.average),
        "score_median": _share(scores.median),
        "score_min": _share(scores.minimum),
        "score_max": _share(scores.maximum),
        "above_70": scores.above_70,
        "from_50_to_70": scores.from_50_to_70,
        "below_50": scores.below_50,
        "api_calls": total.calls,
        **{name: getattr(total, name) for name in _RUN_SUMS},
        "cost_complete": rollup.cost_complete,
        "unfinished": rollup.unfinished,
        "unclosed": rollup.unclosed,
        "shed": rollup.shed,
        "error_count": sum(rollup.errors.values()),
        "error_types": error_details(rollup.errors.items()),
        "trace_id": root.trace_id,
        "trace_sampled": root.trace_sampled,
    }


def _candidates(rollup: Rollup) -> int | None:
    """Return what was announced, else the documents if they are all known."""
    if rollup.root.candidates is not None:
        return rollup.root.candidates
    return len(rollup.documents) or None if rollup.are_documents_known else None


_RUN_SUMS = tuple(name for name in USAGE_SUMS if name in runs.c and name != "duration_us")


def error_details(errors: Iterable[tuple[tuple[str, str], int]]) -> str | None:
    """Return errors by stage and type as JSON, the most frequent first; None without any."""
    ranked = sorted(errors, key=lambda entry: (-entry[1], entry[0]))
    rows = [{"stage": stage, "type": kind, "count": count} for (stage, kind), count in ranked]
    return json.dumps(rows) if rows else None


def _usage_rows(run_id: str, rollup: Rollup, totals: Totals) -> list[dict[str, Any]]:
    table = tables.stage_usage
    fitted: dict[UsageKey, Usage] = {}
    for key, usage in rollup.usage.items():
        # Names that are cut may become equal.
        fitted.setdefault(UsageKey(**fit(table, key._asdict(), totals)), Usage()).add(usage)
    return [
        {"run_id": run_id, **key._asdict(), **fit(table, asdict(usage), totals)}
        for key, usage in fitted.items()
    ]


def _counter_rows(run_id: str, rollup: Rollup, totals: Totals) -> list[dict[str, Any]]:
    rows = [{"run_id": run_id, "name": name, "value": value} for name, value in rollup.counters.items()]
    return [fit(tables.counters, row, totals) for row in rows]


def _document_rows(run_id: str, documents: Sequence[DocumentState], totals: Totals) -> list[dict[str, Any]]:
    rows = []
    ordinal, before = 0, ""
    for document in documents:
        ordinal = ordinal + 1 if document.key == before else 0
        before = document.key
        row = {
            "run_id": run_id,
            "document_key": document.key,
            "ordinal": ordinal,
            "row_ref": document.row_id,
            "size_bytes": document.size,
            "characters": document.characters,
            "type": document.type,
            "extraction_us": document.extraction_us,
            "analysis_us": document.analysis_us,
            "chunk_count": document.chunks,
            "score": _share(document.score),
            "outcome": document.outcome,
            "error_type": document.error_type,
            "fallback": document.score is not None and document.has_fallback,
        }
        rows.append(fit(tables.documents, row, totals))
    return rows


def _share(ten_thousandths: int | None) -> float | None:
    return None if ten_thousandths is None else ten_thousandths / 10_000
