"""The rows of a run: what a rollup becomes in our tables."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from exporters.metrics.totals import Totals
from exporters.rollup.documents import DocumentState
from exporters.rollup.merge import Rollup
from exporters.rollup.snapshot import (
    USAGE_SUMS,
    Usage,
    UsageKey,
)
from exporters.sql.database.fitting import fit, to_datetime
from exporters.sql.schema import tables
from exporters.sql.schema.tables import runs


def run_row(rollup: Rollup) -> dict[str, Any]:
    """Return the row of a run itself."""
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


def usage_rows(run_id: str, rollup: Rollup, totals: Totals) -> list[dict[str, Any]]:
    """Return what each stage of a run used."""
    table = tables.stage_usage
    fitted: dict[UsageKey, Usage] = {}
    for key, usage in rollup.usage.items():
        # Names that are cut may become equal.
        fitted.setdefault(UsageKey(**fit(table, key._asdict(), totals)), Usage()).add(usage)
    return [
        {"run_id": run_id, **key._asdict(), **fit(table, asdict(usage), totals)}
        for key, usage in fitted.items()
    ]


def counter_rows(run_id: str, rollup: Rollup, totals: Totals) -> list[dict[str, Any]]:
    """Return the counters of a run."""
    rows = [{"run_id": run_id, "name": name, "value": value} for name, value in rollup.counters.items()]
    return [fit(tables.counters, row, totals) for row in rows]


def document_rows(run_id: str, documents: Sequence[DocumentState], totals: Totals) -> list[dict[str, Any]]:
    """Return the documents of a run."""
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
