"""The generated history says the same on every page: its runs, documents, calls, errors and costs agree."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, date, datetime
from statistics import fmean, median
from typing import Any

import pytest
import sqlalchemy as sa

from examples.screener.history.history import History
from examples.screener.history.pace import Pace
from examples.screener.history.writing import write
from exporters.integrity.validation import broken
from exporters.sql.schema import migrate
from telemetry.pricing import Prices, Tokens
from tests.migrations.databases import engine_of
from tools.preview.year import Year

DAYS = 60
PACE = Pace(days=DAYS, troubled=0.2, interrupted=0.05, failed=0.1, partial=0.15, limited=0.05, incomplete=0.1)
"""A history in which all happens that can."""
RATE_LIMIT = "openai.RateLimitError"
HISTORIES: dict[str, Callable[[], History]] = {
    "history": lambda: History(60, date(2026, 11, 25), 3, PACE, documents_days=DAYS),
    "pictures": lambda: Year(150),
}
Rows = list[dict[str, Any]]


@dataclass(frozen=True)
class Job:
    """A row of ``telemetry_jobs``, with those of the other views."""

    row: dict[str, Any]
    documents: Rows
    calls: Rows
    times: Rows
    errors: Rows

    def count(self, outcome: str) -> int:
        return sum(document["outcome"] == outcome for document in self.documents)


def read(engine: sa.Engine) -> Iterator[Job]:
    """Yield what the views say of each job."""
    found: dict[str, dict[str, Rows]] = defaultdict(lambda: defaultdict(list))
    names = ("telemetry_run_documents", "telemetry_stages", "telemetry_errors")
    with engine.connect() as connection:
        for view in names:
            for row in connection.execute(sa.text(f"SELECT * FROM {view}")).mappings():
                found[view][row["run_id"]].append(dict(row))
        rows = connection.execute(sa.text("SELECT * FROM telemetry_jobs")).mappings().all()
    for row in rows:
        documents, stages, errors = (found[view][row["run_id"]] for view in names)
        calls = [stage for stage in stages if stage["operation"]]
        yield Job(dict(row), documents, calls, [stage for stage in stages if stage not in calls], errors)


@pytest.fixture(scope="module", params=HISTORIES)
def jobs(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> list[Job]:
    """What the views say of the jobs of a history."""
    url = f"sqlite:///{tmp_path_factory.mktemp('facts') / 'history.sqlite'}"
    migrate.upgrade(url, with_base_tables=True)
    with engine_of(url) as engine:
        write(engine, HISTORIES[request.param]())
        assert list(broken(engine)) == []
        return list(read(engine))


def test_candidates_are_counted_once(jobs: list[Job]) -> None:
    """The bands are the scored, who are no more than the documents, who are the candidates."""
    for job in jobs:
        row = job.row
        if row["status"] == "interrupted":
            assert row["n_documents"] is row["n_scored"] is row["above_70"] is row["score_avg"] is None
            assert job.documents == []
            continue
        assert row["above_70"] + row["from_50_to_70"] + row["below_50"] == row["n_scored"]
        assert row["n_scored"] + row["n_failed"] <= row["n_documents"] == row["candidates"]
        if row["n_scored"]:
            assert 0 <= row["score_min"] <= row["score_median"] <= row["score_max"] <= 1
            assert row["score_min"] <= row["score_avg"] <= row["score_max"]
        else:
            assert row["score_avg"] is row["score_median"] is row["score_min"] is row["score_max"] is None


def test_documents_are_those_of_their_run(jobs: list[Job]) -> None:
    """Their number, outcomes, sizes, lengths and scores; none took longer than the whole run."""
    documented = [job for job in jobs if job.documents]
    for job in documented:
        row, documents = job.row, job.documents
        assert len(documents) == row["n_documents"]
        assert (job.count("scored"), job.count("failed")) == (row["n_scored"], row["n_failed"])
        for document in documents:
            assert (document["score"] is not None) == (document["outcome"] == "scored")
            assert (document["error_type"] is not None) == (document["outcome"] == "failed")
            assert document["processing_seconds"] <= row["duration_seconds"]
        lengths = [file["characters"] for file in documents if file["characters"] is not None]
        assert row["resume_bytes"] == sum(file["size_bytes"] for file in documents)
        assert (row["resume_characters"] or 0) == sum(lengths)
        assert row["resume_characters_min"] == min(lengths, default=None)
        assert row["resume_characters_max"] == max(lengths, default=None)
        scores = [float(file["score"]) for file in documents if file["score"] is not None]
        assert row["above_70"] == sum(score >= 0.7 for score in scores)
        assert row["below_50"] == sum(score < 0.5 for score in scores)
        if scores:
            shown = [float(row[f"score_{name}"]) for name in ("min", "max", "avg", "median")]
            expected = [min(scores), max(scores), fmean(scores), median(scores)]
            assert shown == pytest.approx(expected, abs=1e-4)
    assert documented


def test_errors_are_those_of_documents_and_calls(jobs: list[Job]) -> None:
    """A run has an error for each failed document, and a status that follows from them."""
    for job in jobs:
        row = job.row
        types = Counter[str]()
        for error in job.errors:
            types[error["error_type"]] += error["errors"]
        assert types.total() == row["error_count"] == (row["n_failed"] or 0)
        if job.documents:
            assert types == Counter(file["error_type"] for file in job.documents if file["error_type"])
        failed = sum(count for kind, count in types.items() if kind.startswith("openai."))
        assert sum(call["errors"] for call in job.calls) == failed
        if row["status"] == "completed":
            assert row["n_scored"] == row["n_documents"] and not types
        elif row["status"] == "partial_failure":
            assert row["n_scored"] > 0 and row["n_failed"] > 0
        elif row["status"] == "failed":
            assert row["n_failed"] > 0
        assert (row["status_reason"] is None) == (row["status"] == "completed")
        if row["status"] in ("failed", "interrupted"):
            stages = {stage["stage"] for stage in (*job.calls, *job.times)}
            assert not stages & {"insights", "db_write"}


def test_rate_limits_are_attempts(jobs: list[Job]) -> None:
    """Each attempt is a call's first, or follows a failed one; a 429 without one after it fails its call."""
    for job in jobs:
        for row in (*job.calls, job.row):
            calls = row.get("calls", row.get("api_calls"))
            assert row["attempts"] == calls + row["rate_limit_retries"] + row["other_retries"]
            assert (row["backoff_seconds"] > 0) == (row["attempts"] > calls)
        refused = sum(error["errors"] for error in job.errors if error["error_type"] == RATE_LIMIT)
        assert job.row["rate_limit_hits"] == job.row["rate_limit_retries"] + refused
    assert any(job.row["rate_limit_hits"] for job in jobs)


def test_kinds_of_tokens_cost_their_list_prices(jobs: list[Job]) -> None:
    """Exactly; and together they are what the run cost, which is complete if all is known."""
    prices = Prices()
    for job in jobs:
        at = datetime.fromisoformat(str(job.row["started_at"])).replace(tzinfo=UTC).timestamp()
        for call in job.calls:
            tokens = Tokens(call["input_tokens"], call["output_tokens"], call["cached_tokens"])
            price = prices("openai", call["model"], tokens, int(at) * 10**9, call["service_tier"])
            assert price is not None
            assert (call["cost_pico"], call["saved_pico"], call["output_pico"]) == (
                price.pico,
                price.saved_pico,
                price.output_pico,
            )
            assert (call["price_source"], call["price_version"]) == (price.source, price.version)
        assert job.row["cost_pico"] == sum(call["cost_pico"] for call in job.calls)
        is_known = not any(call["usage_missing"] for call in job.calls)
        assert bool(job.row["cost_complete"]) == (is_known and job.row["status"] != "interrupted")


def test_values_vary(jobs: list[Job]) -> None:
    """Nothing that differs from job to job in real life has one value."""
    names = ("resume_characters_max", "resume_characters_min", "score_min", "score_max", "jd_bytes")
    for name in names:
        values = {job.row[name] for job in jobs if job.row[name] is not None}
        assert len(values) > len(jobs) / 3, name
    waits = [job.row["backoff_seconds"] / retries for job in jobs if (retries := _retries(job))]
    assert len(set(waits)) > len(waits) / 2


def test_larger_files_are_longer_and_slower(jobs: list[Job]) -> None:
    """Of the files with text, and beside them are some scans with next to none."""
    files = [file for job in jobs for file in job.documents if file["characters"]]
    large = median(file["size_bytes"] for file in files)
    for name in ("characters", "extraction_seconds", "analysis_seconds"):
        assert _usual(files, name, large) > 1.2 * _usual(files, name, -large), name
    assert any(file["characters"] < 250 for file in files)


def _usual(files: Rows, name: str, size: float) -> float:
    """Return the median of files that are larger, or not, if the size is negative."""
    chosen = [file for file in files if (file["size_bytes"] > abs(size)) == (size > 0)]
    return float(median(file[name] for file in chosen if file[name] is not None))


def _retries(job: Job) -> int:
    return int(job.row["rate_limit_retries"] + job.row["other_retries"])
