"""Failures in an analysis are reported, counted and priced exactly."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal

import pytest

from examples.screener.standin.client import StandIn
from tests.end_to_end.conftest import NewDatabase
from tests.end_to_end.database import Row
from tests.end_to_end.documents import damaged, resume, resumes
from tests.end_to_end.ledger import Truth, dollars, truth
from tests.end_to_end.stack import Stack
from tests.end_to_end.submission import draft, submit

SERVER_ERROR = {"status": 500, "retry_after_ms": 5}


@pytest.fixture(scope="module")
def system(
    new_database: NewDatabase, shared_standin: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    """App and worker of all tests here; analyses of more than eight résumés go to the worker."""
    folder = tmp_path_factory.mktemp("failures")
    settings = {"SCREENER_APP_RETRIES": "1", "SCREENER_REQUEST_LIMIT": "8"}
    with Stack(folder, new_database("sqlite"), shared_standin, **settings) as stack:
        stack.web()
        stack.worker()
        yield stack


@pytest.fixture
def stack(system: Stack, standin: StandIn) -> Stack:
    """The system, with an empty ledger and no faults."""
    return system


def test_analysis_without_candidates_fails(stack: Stack) -> None:
    """It fails with a clear message, and costs as much as its intake."""
    before = stack.sql.user()
    ended = submit(stack.client(), [])
    stack.settle()
    row, run = stack.sql.analysis(ended.analysis), _analysis_run(stack, ended.analysis)

    assert ended.status["state"] == "failed"
    assert ended.status["message"].startswith("There is no résumé to analyse.")
    assert (run["status"], row["status"]) == ("failed", "failed")
    assert (run["candidates"], run["n_documents"], run["api_calls"], run["cost_pico"]) == (0, 0, 0, 0)
    assert [run["error_count"], row["error_count"]] == [1, 1]
    assert row["avg_overall_score"] is None
    assert row["candidates_above_70_percent"] == 0
    assert row["embedding_generation_time"] is None
    assert row["cost_per_candidate"] is None
    assert Decimal(str(row["total_api_cost"])) == dollars(_truth(stack).cost_pico)
    _check_user(stack, before, jobs=1, candidates=0)


def test_corrupt_file_fails_alone(stack: Stack) -> None:
    """An unreadable file is one failed document of an analysis that completes."""
    before = stack.sql.user()
    good = resumes(3)
    ended = submit(stack.client(), [*(document.file for document in good), damaged()])
    stack.settle()
    row, run = stack.sql.analysis(ended.analysis), _analysis_run(stack, ended.analysis)
    files = stack.sql.files(ended.analysis)

    assert ended.status["state"] == "completed"
    assert (run["status"], row["status"]) == ("partial_failure", "partial_failure")
    assert (run["n_documents"], run["n_scored"], run["n_failed"]) == (4, 3, 1)
    assert row["error_count"] == 1
    assert [error["type"] for error in json.loads(row["error_details"])] == [
        "examples.screener.documents.UnreadableDocument"
    ]
    assert _bands(row) == 3
    assert {file["file_name"]: bool(file["processing_error"]) for file in files} == {
        **{document.name: False for document in good},
        damaged()[0]: True,
    }
    assert next(file for file in files if file["processing_error"])["error_message"]
    assert _figures(stack, ended.analysis) == _expected(stack)
    _check_user(stack, before, jobs=1, candidates=4)


def test_duplicates_are_counted_in_intake(stack: Stack) -> None:
    """A second file with the same content counts as a duplicate, and costs nothing."""
    first = resume(2, "docx")
    client = stack.client()
    number = draft(client, [first.file])
    answers = client.upload_resumes(number, [("Vandersloot again.docx", first.data), resume(3).file])
    analysis = client.start(number)["analysis"]
    stack.settle()
    runs = stack.sql.runs(analysis)

    assert [answer["outcome"] for answer in answers] == ["duplicate", "stored"]
    assert sum(run["n_duplicates"] for run in runs) == 1
    assert {run["status"] for run in runs} == {"completed"}
    assert _analysis_run(stack, analysis)["n_documents"] == 2
    assert _bands(stack.sql.analysis(analysis)) == 2
    names = [line for line in stack.standin.ledger()["attempts"] if line["task"] == "name"]
    assert len(names) == 2
    assert _figures(stack, analysis) == _expected(stack)


def test_same_file_in_two_drafts_is_matched_in_both(stack: Stack) -> None:
    """Its rows in both analyses have its size."""
    client = stack.client()
    analyses = [submit(client, [resume(4, "pdf").file]).analysis for _ in range(2)]
    stack.settle()
    sizes = [[file["resume_file_size_bytes"] for file in stack.sql.files(analysis)] for analysis in analyses]

    assert sizes == [[len(resume(4, "pdf").data)]] * 2


def test_analysis_without_any_rating_fails(stack: Stack) -> None:
    """Although the application completes it with default scores, which are in no band."""
    stack.standin.faults([{"match": {"task": "rank"}, **SERVER_ERROR}])
    before = stack.sql.user()
    ended = submit(stack.client(), [document.file for document in resumes(2)])
    stack.settle()
    row, run = stack.sql.analysis(ended.analysis), _analysis_run(stack, ended.analysis)
    counters = {counter["name"]: counter["value"] for counter in _counters(stack, run)}
    expected = _truth(stack)

    assert ended.status["state"] == "completed"  # in the application's view
    assert {candidate["overall"] for candidate in json.loads(row["coverage_data"])["candidates"]} == {0.0}
    assert run["status"] == row["status"] == "failed"
    assert (run["n_scored"], run["n_failed"], _bands(row)) == (0, 2, 0)
    assert row["avg_overall_score"] is None
    assert counters == {"fallbacks": 2 * 4, "app_retries": 2 * 4}
    assert expected.errors == 2 * 4 * 2
    assert expected.other_retries == 2 * 4 * 2 * 2
    assert _figures(stack, ended.analysis) == _expected(stack)
    assert run["cost_complete"]  # refused attempts are not billed
    _check_user(stack, before, jobs=1, candidates=2)


def test_candidate_with_a_fallback_is_not_scored(stack: Stack) -> None:
    """The other candidates are scored, and the analysis is a partial failure."""
    lost = resume(3)
    stack.standin.faults([{"match": {"task": "rank", "contains": "Reference 3"}, **SERVER_ERROR}])
    ended = submit(stack.client(), [resume(1).file, resume(2).file, lost.file])
    stack.settle()
    row, run = stack.sql.analysis(ended.analysis), _analysis_run(stack, ended.analysis)
    real = [
        Decimal(str(candidate["overall"]))
        for candidate in json.loads(row["coverage_data"])["candidates"]
        if not any(rating["fallback"] for rating in candidate["ratings"])
    ]

    assert run["status"] == row["status"] == "partial_failure"
    assert (run["n_scored"], run["n_failed"], _bands(row)) == (2, 1, 2)
    assert len(real) == 2
    assert Decimal(str(row["min_overall_score"])) * 100 == min(real)
    assert Decimal(str(row["max_overall_score"])) * 100 == max(real)
    assert row["error_count"] == 4
    assert [error["count"] for error in json.loads(row["error_details"])] == [4]


def test_unusable_answers_are_billed(stack: Stack) -> None:
    """An answer that is not JSON is an error of the analysis, but its cost counts."""
    stack.standin.faults([{"match": {"task": "rank"}, "bad_json": True, "first_total": 1}])
    ended = submit(stack.client(), [document.file for document in resumes(3)])
    stack.settle()
    row = stack.sql.analysis(ended.analysis)

    assert row["status"] == "partial_failure"
    assert row["error_count"] == 1
    assert _bands(row) == 2
    assert _figures(stack, ended.analysis) == _expected(stack)


def test_missing_usage_makes_the_cost_incomplete(stack: Stack) -> None:
    """The call counts, and the run is marked, rather than costing zero."""
    stack.standin.faults([{"match": {"task": "insights"}, "omit_usage": True}])
    ended = submit(stack.client(), [resume(1).file])
    stack.settle()
    run = _analysis_run(stack, ended.analysis)
    reported = truth(line for line in stack.standin.ledger()["attempts"] if line["usage_reported"])

    assert run["usage_missing"] == 1
    assert not run["cost_complete"]
    assert sum(run["cost_pico"] for run in stack.sql.runs(ended.analysis)) == reported.cost_pico
    assert sum(run["api_calls"] for run in stack.sql.runs(ended.analysis)) == reported.calls + 1


def test_failed_analysis_has_the_type_of_its_error(stack: Stack) -> None:
    """Its row has the type, not the message."""
    stack.standin.faults([{"match": {"path": "/embeddings"}, **SERVER_ERROR}])
    before = stack.sql.user()
    ended = submit(stack.client(), [document.file for document in resumes(2)])
    stack.settle()
    row, run = stack.sql.analysis(ended.analysis), _analysis_run(stack, ended.analysis)

    assert ended.status["state"] == "failed"
    assert run["status"] == row["status"] == "failed"
    assert row["completed_at"] is None
    assert json.loads(row["error_details"]) == [
        {"stage": "embedding", "type": "openai.InternalServerError", "count": 1}
    ]
    assert row["similarity_calculation_time"] is None
    assert row["avg_overall_score"] is None
    assert _figures(stack, ended.analysis) == _expected(stack)
    _check_user(stack, before, jobs=1, candidates=2)


def test_worker_goes_on_after_a_failed_analysis(stack: Stack) -> None:
    """The analysis fails as in a request, and the worker runs the next one."""
    client = stack.client()
    files = [resume(number).file for number in range(1, 10)]
    stack.standin.faults([{"match": {"path": "/embeddings"}, **SERVER_ERROR}])
    failed = submit(client, files)
    stack.standin.faults([])
    completed = submit(client, files)
    stack.settle()

    assert (failed.status["state"], completed.status["state"]) == ("failed", "completed")
    assert stack.sql.analysis(failed.analysis)["status"] == "failed"
    assert stack.sql.analysis(completed.analysis)["status"] == "completed"


def test_late_insight_adds_to_its_analysis(stack: Stack) -> None:
    """It is a run of its own, whose cost is added to the row of the analysis."""
    client = stack.client()
    ended = submit(client, [resume(number).file for number in range(1, 6)])
    stack.settle()
    earlier = stack.sql.analysis(ended.analysis)
    known = len(stack.standin.ledger()["attempts"])
    locked = next(c for c in client.result(ended.analysis)["candidates"] if c["insight"] is None)
    insight = client.unlock_insight(ended.analysis, locked["id"])
    stack.settle()
    later, added = stack.sql.analysis(ended.analysis), truth(stack.standin.ledger(since=known)["attempts"])
    runs = stack.sql.runs(ended.analysis, kind="late")

    assert insight["summary"]
    assert [run["status"] for run in runs] == ["completed"]
    assert runs[0]["cost_pico"] == added.cost_pico > 0
    assert later["api_calls_made"] == earlier["api_calls_made"] + 1
    assert later["insights_generated_count"] == earlier["insights_generated_count"] + 1 == 4
    assert _figures(stack, ended.analysis) == _expected(stack)
    assert later["status"] == earlier["status"] == "completed"
    assert _bands(later) == _bands(earlier) == 5
    unchanged = ("avg_overall_score", "total_resume_file_size_bytes", "embedding_generation_time")
    assert [later[name] for name in unchanged] == [earlier[name] for name in unchanged]


def test_intake_belongs_to_the_first_analysis_of_a_draft(stack: Stack) -> None:
    """A second analysis of the draft has no intake."""
    client = stack.client()
    number = draft(client, [resume(1).file])
    first, second = (client.start(number)["analysis"] for _ in range(2))
    stack.settle()

    assert Counter(run["kind"] for run in stack.sql.runs(first)) == {"intake": 2, "analysis": 1}
    assert Counter(run["kind"] for run in stack.sql.runs(second)) == {"analysis": 1}
    assert sum(run["cost_pico"] for run in stack.sql.runs()[-4:]) == _truth(stack).cost_pico


def test_intake_without_an_analysis_counts_for_the_user(stack: Stack) -> None:
    """The cost of a draft that is never analysed is in the user's row."""
    before = stack.sql.user()
    draft(stack.client(), [resume(1).file])
    stack.settle()

    runs = stack.sql.runs(kind="intake")[-2:]
    assert [run["analysis_ref"] for run in runs] == [None, None]
    assert sum(run["cost_pico"] for run in runs) == _truth(stack).cost_pico > 0
    _check_user(stack, before, jobs=0, candidates=0)


def test_cost_of_a_deleted_analysis_stays_with_the_user(stack: Stack) -> None:
    """It is not added to a new analysis that gets the same id."""
    client = stack.client()
    deleted = submit(client, [document.file for document in resumes(2)])
    stack.settle()
    before = stack.sql.user()
    client.delete([deleted.analysis])
    known = len(stack.standin.ledger()["attempts"])
    another = submit(client, [resume(7).file])
    stack.settle()
    row, expected = stack.sql.analysis(another.analysis), truth(stack.standin.ledger(since=known)["attempts"])

    assert another.analysis == deleted.analysis  # SQLite reuses the id of the last row
    assert row["api_calls_made"] == expected.calls
    assert Decimal(str(row["total_api_cost"])) == dollars(expected.cost_pico)
    assert _bands(row) == 1
    assert stack.sql.user()["total_jobs_run"] == before["total_jobs_run"] + 1
    spent = Decimal(str(stack.sql.user()["total_api_spend"])) - Decimal(str(before["total_api_spend"]))
    assert spent.quantize(Decimal("1e-12")) == dollars(expected.cost_pico)


def _analysis_run(stack: Stack, analysis: int) -> Row:
    runs = stack.sql.runs(analysis, kind="analysis")
    assert len(runs) == 1
    return runs[0]


def _counters(stack: Stack, run: Row) -> list[Row]:
    return stack.sql.rows("SELECT * FROM telemetry_counters WHERE run_id = :id", id=run["run_id"])


def _bands(row: Row) -> int:
    bands = ("above_70", "50_to_70", "below_50")
    return sum(row[f"candidates_{band}_percent"] for band in bands)


def _truth(stack: Stack) -> Truth:
    return truth(stack.standin.ledger()["attempts"])


def _expected(stack: Stack) -> tuple[object, ...]:
    expected = _truth(stack)
    return (
        expected.calls,
        expected.attempts,
        expected.rate_limit_hits,
        expected.other_retries,
        expected.input_tokens + expected.output_tokens,
        expected.cost_pico,
    )


def _figures(stack: Stack, analysis: int) -> tuple[object, ...]:
    """Return figures of an analysis, from its row or, where the row lacks them, from its runs."""
    row, runs = stack.sql.analysis(analysis), stack.sql.runs(analysis)
    pico = round(Decimal(str(row["total_api_cost"])) * 10**12)
    assert pico == sum(run["cost_pico"] for run in runs)
    return (
        row["api_calls_made"],
        sum(run["attempts"] for run in runs),
        row["rate_limit_hits"],
        sum(run["other_retries"] for run in runs),
        row["total_tokens_used"],
        pico,
    )


def _check_user(stack: Stack, before: Row, *, jobs: int, candidates: int) -> None:
    """Check that the user's row grew by these numbers, and by the cost in the ledger."""
    after = stack.sql.user()
    spent = Decimal(str(after["total_api_spend"])) - Decimal(str(before["total_api_spend"] or 0))
    total = (before["total_candidates_analyzed"] or 0) + candidates
    number = (before["total_jobs_run"] or 0) + jobs

    assert (after["total_jobs_run"], after["total_candidates_analyzed"]) == (number, total)
    assert float(after["avg_candidates_per_job"]) == pytest.approx(total / number, abs=0.0051)
    assert spent.quantize(Decimal("1e-12")) == dollars(_truth(stack).cost_pico)
