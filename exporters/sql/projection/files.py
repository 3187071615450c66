"""Matches stored files with documents.

They match by the row id that the application gave, else by the hash of the name, the size, and the order
among files of the same name.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from exporters.privacy.document_key import document_key
from exporters.rollup.documents import sum_known
from telemetry.conventions import FAILED, SCORED


class FileRow(NamedTuple):
    """The needed columns of a row of ``candidate_files``."""

    id: int
    name: str | None
    """None if the application does not store it."""
    size: int | None
    """Bytes; None if the application does not store the file."""


@dataclass(slots=True)
class Matched:
    """What the runs of an analysis recorded of one stored file."""

    row_id: int
    size: int | None = None
    characters: int | None = None
    type: str | None = None
    extraction_us: int | None = None
    analysis_us: int | None = None
    chunks: int | None = None
    outcome: str = ""
    error_type: str | None = None

    def add(self, document: Mapping[str, Any]) -> None:
        """Add the document of one run.

        Times add up. Otherwise the first known value counts, but a score or a failure replaces an outcome.
        """
        self.size = document["size_bytes"] if self.size is None else self.size
        self.characters = document["characters"] if self.characters is None else self.characters
        self.type = self.type or document["type"]
        self.chunks = document["chunk_count"] if self.chunks is None else self.chunks
        self.extraction_us = sum_known(self.extraction_us, document["extraction_us"])
        self.analysis_us = sum_known(self.analysis_us, document["analysis_us"])
        self.error_type = self.error_type or document["error_type"]
        if document["outcome"] in (SCORED, FAILED) and self.outcome != SCORED:
            self.outcome = document["outcome"]


def match(rows: Sequence[FileRow], documents: Iterable[Mapping[str, Any]], key: bytes) -> list[Matched]:
    """Return what is known of the files; those that match no document are left out.

    Args:
        rows: stored files, in the order of their ids.
        documents: rows of ``telemetry_documents`` of all runs of the analysis.
        key: secret of the hashes.
    """
    by_run: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for document in documents:
        by_run[document["run_id"]].append(document)
    matched: dict[int, Matched] = {}
    for run_id, of_run in by_run.items():
        for row, document in _pairs(rows, run_id, of_run, key):
            matched.setdefault(row.id, Matched(row.id, size=row.size)).add(document)
    return [matched[row_id] for row_id in sorted(matched)]


def _pairs(
    rows: Sequence[FileRow], run_id: str, documents: Sequence[Mapping[str, Any]], key: bytes
) -> Iterable[tuple[FileRow, Mapping[str, Any]]]:
    by_row = {document["row_ref"]: document for document in documents if document["row_ref"] is not None}
    named: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for document in documents:
        if document["row_ref"] is None:
            named[document["document_key"]].append(document)
    for row in rows:
        if row.id in by_row:
            yield row, by_row[row.id]
            continue
        namesakes = None if row.name is None else named.get(document_key(key, run_id, row.name))
        if namesakes:
            document = next((d for d in namesakes if d["size_bytes"] == row.size), namesakes[0])
            namesakes.remove(document)
            yield row, document
