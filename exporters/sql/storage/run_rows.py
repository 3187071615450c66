"""The rows of a run in our tables, made from its rollup."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from exporters.rollup.documents import DocumentState
from exporters.rollup.merge import Rollup
from exporters.rollup.snapshot import (
    SCHEMA_VERSION,
    USAGE_SUMS,
    Snapshot,
    Usage,
    UsageKey,
)
from exporters.sql.database.fitting import Fitted, FittedRows, fit, fit_all, to_datetime
from exporters.sql.schema import tables
from exporters.sql.schema.tables import runs


@dataclass(frozen=True, slots=True)
class RunRows:
    """The rows of a run."""

    run: dict[str, Any]
    usage: list[dict[str, Any]]
    counters: list[dict[str, Any]]
    documents: list[dict[str, Any]]
    coerced: tuple[str, ...]
    """Columns whose values had to be changed to fit."""


def run_rows(run_id: str, rollup: Rollup) -> RunRows:
    """Return the rows of a run, which fit their tables."""
    run, usage = fit(runs, _run_row(rollup)), _usage_rows(run_id, rollup)
    counters = fit_all(
        tables.counters,
        [{"run_id": run_id, "name": name, "value": value} for name, value in rollup.counters.items()],
    )
    documents = fit_all(tables.documents, _document_rows(run_id, rollup.documents))
    coerced = (*run.coerced, *usage.coerced, *counters.coerced, *documents.coerced)
    return RunRows(run.row, usage.rows, counters.rows, documents.rows, coerced)


def fragment_row(snapshot: Snapshot) -> Fitted:
    """Return the row of a fragment with the state of a snapshot."""
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
    return fit(tables.fragments, row)


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
    """Return the announced number, else that of the documents if all are known."""
    if rollup.root.candidates is not None:
        return rollup.root.candidates
    return len(rollup.documents) or None if rollup.are_documents_known else None


_RUN_SUMS = tuple(name for name in USAGE_SUMS if name in runs.c and name != "duration_us")


def error_details(errors: Iterable[tuple[tuple[str, str], int]]) -> str | None:
    """Return errors by stage and type as JSON, the most frequent first; None if there are none."""
    ranked = sorted(errors, key=lambda entry: (-entry[1], entry[0]))
    rows = [{"stage": stage, "type": kind, "count": count} for (stage, kind), count in ranked]
    return json.dumps(rows) if rows else None


def _usage_rows(run_id: str, rollup: Rollup) -> FittedRows:
    """Return the rows of the stages."""
    table, coerced = tables.stage_usage, list[str]()
    sums: dict[UsageKey, Usage] = {}
    for key, usage in rollup.usage.items():
        fitted = fit(table, key._asdict())
        coerced += fitted.coerced
        sums.setdefault(UsageKey(**fitted.row), Usage()).add(usage)  # names that were cut may be equal
    rows = fit_all(table, [_usage_row(usage, rollup.started_at) for usage in sums.values()])
    keyed = [{"run_id": run_id, **key._asdict(), **row} for key, row in zip(sums, rows.rows, strict=True)]
    return FittedRows(keyed, (*coerced, *rows.coerced))


def _usage_row(usage: Usage, started_at: int) -> dict[str, Any]:
    row = asdict(usage)
    for name in ("opened", "closed"):
        at = row.pop(f"{name}_at")
        row[f"{name}_us"] = None if at is None else max(at - started_at, 0) // 1000
    return row


def _document_rows(run_id: str, documents: Sequence[DocumentState]) -> Iterator[dict[str, Any]]:
    ordinal, before = 0, ""
    for document in documents:
        ordinal = ordinal + 1 if document.key == before else 0
        before = document.key
        yield {
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


def _share(ten_thousandths: int | None) -> float | None:
    return None if ten_thousandths is None else ten_thousandths / 10_000
