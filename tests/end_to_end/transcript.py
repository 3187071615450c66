"""Records a long session of a user with the screener: all answers, and finally the host's tables."""

from __future__ import annotations

import hashlib
import json
import time
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pytest
import requests

from examples.screener.client import ScreenerClient, ScreenerError
from examples.screener.models import Base
from tests.end_to_end.database import Database, Row
from tests.end_to_end.documents import damaged, resume, resumes
from tests.end_to_end.stack import Stack
from tests.end_to_end.submission import draft

FAULTS: list[dict[str, Any]] = [
    {"match": {"task": "rank", "contains": "ada.3@"}, "status": 500, "retry_after_ms": 5},
    {"match": {"task": "insights", "contains": "ada.2@"}, "bad_json": True},
    {"status": 429, "rate": 0.1, "retry_after_ms": 5},
]
"""Faults of the stand-in, of every kind."""
SETTINGS = {"SCREENER_APP_RETRIES": "1", "SCREENER_INSIGHTS": "1", "SCREENER_REQUEST_LIMIT": "4"}
VARYING = {"owner", "processing_duration_seconds", "password_hash", "worker"}
"""Columns whose values differ between sessions."""


@dataclass
class Transcript:
    """All output of the application, which must not depend on telemetry."""

    answers: list[tuple[str, str, int, Any]] = field(default_factory=list)
    """Method, path, status and JSON of each request, except polls of a job."""
    tables: dict[str, list[Row]] = field(default_factory=dict)
    """Rows of the host's tables, without varying columns."""
    analysis_seconds: float = 0.0
    """Duration of the analysis within a request."""

    def note(self, answer: requests.Response, *_: Any, **__: Any) -> None:
        path = requests.utils.urlparse(answer.url).path  # type: ignore[attr-defined]
        if path.endswith("/status"):
            return
        content: Any = answer.json() if "json" in answer.headers.get("Content-Type", "") else None
        if answer.status_code == 202:  # the worker may have begun already, or not
            content = {"analysis": content["analysis"]}
        self.answers.append((answer.request.method or "", path, answer.status_code, content))


def play(stack: Stack) -> Transcript:
    """Use all that the screener offers to a user, and record its answers."""
    transcript, client = Transcript(), stack.client()
    client._session.hooks["response"].append(transcript.note)
    small = draft(
        client, [*(document.file for document in resumes(3)), damaged(), ("again.txt", resume(2).data)]
    )
    started = time.perf_counter()
    analysis = client.start(small)["analysis"]
    transcript.analysis_seconds = time.perf_counter() - started
    _unlock(client, analysis)
    large = client.start(draft(client, [document.file for document in resumes(5, start=11)]))["analysis"]
    assert client.wait(large, timeout=300)["state"] == "completed"
    client.result(large)
    client.start(draft(client, []))
    with pytest.raises(ScreenerError):
        client.start(client.create_draft("No job description"))
    with pytest.raises(ScreenerError):
        client.result(4711)
    client.delete([client.start(draft(client, [resume(6).file]))["analysis"]])
    transcript.tables = {name: _rows(stack.sql, name) for name in sorted(Base.metadata.tables)}
    return transcript


def _unlock(client: ScreenerClient, analysis: int) -> None:
    """Unlock every insight; one of them fails."""
    for candidate in client.result(analysis)["candidates"]:
        with suppress(ScreenerError):
            client.unlock_insight(analysis, candidate["id"])
    client.result(analysis)


def _rows(database: Database, table: str) -> list[Row]:
    names = [
        column.name
        for column in Base.metadata.tables[table].columns
        if column.type.python_type is not datetime and column.name not in VARYING
    ]
    return [_comparable(row) for row in database.rows(f"SELECT {', '.join(names)} FROM {table} ORDER BY id")]


def _comparable(row: Row) -> Row:
    return {
        name: hashlib.sha256(value).hexdigest() if isinstance(value, bytes | memoryview) else value
        for name, value in row.items()
    }


def as_text(transcript: Transcript) -> str:
    """Return the transcript as one text."""
    return json.dumps([transcript.answers, transcript.tables], default=str, ensure_ascii=False)
