"""All counts, tokens and pico-dollars of real analyses, compared with the ledger of the stand-in."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from decimal import Decimal
from statistics import median
from typing import Any

import pytest

from examples.screener import samples
from examples.screener.standin.client import StandIn
from tests.choice import first_of
from tests.end_to_end.conftest import NewDatabase
from tests.end_to_end.database import Row
from tests.end_to_end.documents import File, resume
from tests.end_to_end.ledger import Line, Truth, by_stage, dollars, truth
from tests.end_to_end.metrics import Metrics
from tests.end_to_end.stack import Stack
from tests.end_to_end.submission import draft_quickly

pytestmark = pytest.mark.timeout(900)  # the first test on each database waits for the analyses

SIZES = (1, 5, 250)
RESUME_LIMIT = 200
FAULTS = [{"status": 429, "rate": 0.1, "retry_after_ms": 15}]

SUMS = """
    SELECT SUM(calls) AS calls, SUM(attempts) AS attempts, SUM(rate_limit_hits) AS rate_limit_hits,
        SUM(rate_limit_retries) AS rate_limit_retries, SUM(other_retries) AS other_retries,
        SUM(errors) AS errors, SUM(input_tokens) AS input_tokens, SUM(output_tokens) AS output_tokens,
        SUM(cached_tokens) AS cached_tokens, SUM(reasoning_tokens) AS reasoning_tokens,
        SUM(cost_pico) AS cost_pico
    FROM telemetry_stage_usage
"""
CALLS = f"{SUMS} WHERE operation <> ''"
CALLS_OF_STAGE = f"{CALLS} AND stage = :stage AND operation = :operation AND model = :model"
CALLS_OF_ANALYSIS = f"{CALLS} AND run_id IN (SELECT run_id FROM telemetry_runs WHERE analysis_ref = :id)"
STAGES = "SELECT DISTINCT stage, operation, model FROM telemetry_stage_usage WHERE operation <> ''"
PROCESSES = """
    SELECT DISTINCT process_id FROM telemetry_fragments JOIN telemetry_runs USING (run_id)
    WHERE kind = :kind AND COALESCE(candidates, 0) >= :least
"""
RUN_FIGURES = (
    "attempts rate_limit_hits rate_limit_retries other_retries input_tokens output_tokens cached_tokens "
    "reasoning_tokens cost_pico"
).split()


@dataclass(frozen=True)
class Analysed:
    """An analysis that has ended, with the part of the ledger for it and its uploads."""

    analysis: int
    files: list[File]
    lines: list[Line]
    state: str

    @property
    def truth(self) -> Truth:
        return truth(self.lines)


@dataclass(frozen=True)
class Outcome:
    """The results of three analyses on one database."""

    stack: Stack
    analysed: dict[int, Analysed]
    ledger: list[Line]
    metrics: Metrics


@pytest.fixture(
    scope="module", params=first_of(["postgresql", "sqlite"], "the demo, which is tested too, runs on SQLite")
)
def outcome(
    request: pytest.FixtureRequest,
    new_database: NewDatabase,
    shared_standin: StandIn,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Outcome]:
    """Analyses of 1, 5 and 250 candidates, while the service refuses one attempt in ten."""
    shared_standin.clear()
    shared_standin.faults(FAULTS)
    folder = tmp_path_factory.mktemp(request.param)
    settings = {"SCREENER_CONCURRENCY": "32", "SCREENER_RESUME_LIMIT": str(RESUME_LIMIT)}
    with Stack(folder, new_database(request.param), shared_standin, **settings) as stack:
        stack.web()
        stack.worker()
        analysed = {size: _analyse(stack, _files(size)) for size in SIZES}
        stack.settle()
        yield Outcome(stack, analysed, stack.standin.ledger()["attempts"], stack.metrics())


def _files(count: int) -> list[File]:
    if count < 20:
        return [resume(number).file for number in range(1, count + 1)]
    return list(samples.generate(count))


def _analyse(stack: Stack, files: list[File]) -> Analysed:
    known = len(stack.standin.ledger()["attempts"])
    client = stack.client()
    draft = draft_quickly(stack, files)
    analysis = client.start(draft, override=len(files) > RESUME_LIMIT)["analysis"]
    state = client.wait(analysis, timeout=300)["state"]
    return Analysed(analysis, files, stack.standin.ledger(since=known)["attempts"], state)


@pytest.fixture(params=SIZES)
def analysed(request: pytest.FixtureRequest, outcome: Outcome) -> Analysed:
    """Each of the analyses."""
    return outcome.analysed[request.param]


def test_ledger_is_interesting(outcome: Outcome) -> None:
    """It has many refused attempts and cached tokens; else the tests below would show little."""
    actual = truth(outcome.ledger)

    assert [analysed.state for analysed in outcome.analysed.values()] == ["completed"] * len(SIZES)
    assert actual.calls > 1200
    assert actual.rate_limit_hits > 100
    assert actual.cached_tokens > 10_000


def test_runs_equal_ledger(outcome: Outcome) -> None:
    """The sums over all runs are the calls, attempts, 429s, retries, tokens and cost of the ledger."""
    columns = ", ".join(f"SUM({name}) AS {name}" for name in ("api_calls", *RUN_FIGURES))
    actual = outcome.stack.sql.row(f"SELECT {columns} FROM telemetry_runs")

    assert _integers(actual) == _run_figures(truth(outcome.ledger))


def test_analysis_equals_its_part_of_ledger(outcome: Outcome, analysed: Analysed) -> None:
    """The stage rows of an analysis and its intake have exactly the figures of its documents' calls."""
    actual = outcome.stack.sql.row(CALLS_OF_ANALYSIS, id=analysed.analysis)

    assert _integers(actual) == asdict(analysed.truth)


def test_stages_equal_ledger(outcome: Outcome) -> None:
    """Every stage has exactly the calls, tokens and cost that the ledger has for its tasks."""
    actual = {
        tuple(key.values()): _integers(outcome.stack.sql.row(CALLS_OF_STAGE, **key))
        for key in outcome.stack.sql.rows(STAGES)
    }

    assert actual == {key: asdict(sums) for key, sums in by_stage(outcome.ledger).items()}


def test_stage_rows_sum_to_runs(outcome: Outcome) -> None:
    """This holds for every run."""
    for run in outcome.stack.sql.runs():
        stages = outcome.stack.sql.row(f"{CALLS} AND run_id = :id", id=run["run_id"])
        sums = _integers(stages)

        assert (run["api_calls"], *(run[name] for name in RUN_FIGURES)) == (
            sums["calls"],
            *(sums[name] for name in RUN_FIGURES),
        )


def test_runs_sum_to_row(outcome: Outcome, analysed: Analysed) -> None:
    """The columns of the `analyses` row equal the ledger's figures for the analysis and its intake."""
    row, expected = outcome.stack.sql.analysis(analysed.analysis), analysed.truth

    assert row["status"] == "completed"
    assert row["api_calls_made"] == expected.calls
    assert row["total_tokens_used"] == expected.input_tokens + expected.output_tokens
    assert row["rate_limit_hits"] == expected.rate_limit_hits
    assert row["rate_limit_retry_count"] == expected.rate_limit_retries
    assert _dollars(row["total_api_cost"]) == dollars(expected.cost_pico)
    assert _dollars(row["cost_per_candidate"]) == _dollars(dollars(expected.cost_pico) / len(analysed.files))
    assert _dollars(row["cost_per_criterion"]) == _dollars(dollars(expected.cost_pico) / 4)


def test_cost_breakdown_and_insights_equal_ledger(outcome: Outcome, analysed: Analysed) -> None:
    """The row has the cost by stage, and calls, tokens and cost of the insights."""
    row = outcome.stack.sql.analysis(analysed.analysis)
    stages = {key[0]: sums for key, sums in by_stage(analysed.lines).items()}

    assert {stage: Decimal(cost) for stage, cost in json.loads(row["cost_breakdown"]).items()} == {
        stage: dollars(sums.cost_pico) for stage, sums in stages.items()
    }
    insights = stages["insights"]
    assert row["insights_generated_count"] == insights.calls == min(3, len(analysed.files))
    assert row["insights_tokens_used"] == insights.input_tokens + insights.output_tokens
    assert _dollars(row["insights_api_cost"]) == dollars(insights.cost_pico)


def test_cost_is_complete(outcome: Outcome) -> None:
    """No call lacks usage, price or end, and every run's cost is marked as complete."""
    for run in outcome.stack.sql.runs():
        assert run["cost_complete"]
        assert (run["usage_missing"], run["unpriced"], run["unfinished"]) == (0, 0, 0)
        assert run["kind"] in ("intake", "analysis")
        assert run["status"] == "completed"


def test_intake_belongs_to_its_analysis(outcome: Outcome, analysed: Analysed) -> None:
    """The calls that read job description and résumés belong to the analysis that follows."""
    runs = outcome.stack.sql.runs(analysed.analysis)
    intake = [run for run in runs if run["kind"] == "intake"]
    expected = truth(line for line in analysed.lines if line["task"] in ("criteria", "name"))

    assert [run["kind"] for run in runs].count("analysis") == 1
    assert sum(run["api_calls"] for run in intake) == expected.calls == 1 + len(analysed.files)
    assert sum(run["cost_pico"] for run in intake) == expected.cost_pico


def test_users_row_sums_runs(outcome: Outcome) -> None:
    """The user's row has the jobs, the candidates and the total cost."""
    user = outcome.stack.sql.user()

    assert user["total_jobs_run"] == len(SIZES)
    assert user["total_candidates_analyzed"] == sum(SIZES)
    assert user["largest_batch_processed"] == max(SIZES)
    assert _share(user["avg_candidates_per_job"], 2) == _share(Decimal(sum(SIZES)) / len(SIZES), 2)
    assert _dollars(user["total_api_spend"]) == dollars(truth(outcome.ledger).cost_pico)
    assert user["total_analyses_count"] == len(SIZES)


def test_metrics_equal_ledger(outcome: Outcome) -> None:
    """The metrics of all processes together have the calls, attempts, tokens and cost of the ledger."""
    metrics, expected = outcome.metrics, truth(outcome.ledger)

    assert len(metrics.texts) == 3  # two web processes and the worker
    assert metrics.total("analysis_openai_operations_total") == expected.calls
    assert metrics.total("analysis_openai_operations_total", outcome="error") == expected.errors
    assert metrics.total("analysis_openai_attempts_total") == expected.attempts
    assert metrics.total("analysis_openai_attempts_total", status="429") == expected.rate_limit_hits
    for kind in ("input", "output", "cached", "reasoning"):
        assert metrics.total("analysis_openai_tokens_total", kind=kind) == getattr(expected, f"{kind}_tokens")
    assert metrics.dollars("analysis_openai_cost_usd_total") == dollars(expected.cost_pico)
    assert metrics.total("analysis_openai_unaccounted_total") == 0


def test_metrics_equal_ledger_by_stage(outcome: Outcome) -> None:
    """They are equal for each stage, operation and model."""
    for (stage, operation, model), expected in by_stage(outcome.ledger).items():
        calls = outcome.metrics.total(
            "analysis_openai_operations_total", stage=stage, operation=operation, model=model
        )
        cost = outcome.metrics.dollars("analysis_openai_cost_usd_total", stage=stage, model=model)

        assert calls == expected.calls
        assert cost == dollars(expected.cost_pico)


def test_metrics_count_runs_and_documents_once(outcome: Outcome) -> None:
    """Ended runs, documents and scores count once over all processes, and no run is active."""
    metrics, runs = outcome.metrics, outcome.stack.sql.runs()

    assert metrics.total("analysis_runs_total") == len(runs)
    assert metrics.total("analysis_runs_total", kind="analysis", status="completed") == len(SIZES)
    assert metrics.total("analysis_runs_total", kind="analysis", batch_size="large") == 1
    assert metrics.total("analysis_documents_total", outcome="scored") == sum(SIZES)
    assert metrics.total("analysis_candidate_score_count") == sum(SIZES)
    assert metrics.total("analysis_runs_active") == 0
    assert metrics.total("telemetry_spool_pending") == 0
    assert metrics.total("telemetry_internal_errors_total") == 0
    assert metrics.total("telemetry_values_coerced_total") == 0


def test_backoff_is_at_least_retry_after(outcome: Outcome) -> None:
    """The time between attempts is at least the sum of Retry-After, and is the same in SQL and metrics."""
    requested = sum(line["retry_after_ms"] for line in outcome.ledger if line["status"] == 429) / 1000
    in_sql = outcome.stack.sql.value("SELECT SUM(backoff_us) FROM telemetry_runs")

    assert int(in_sql) / 1e6 >= requested
    assert outcome.metrics.total("analysis_openai_backoff_seconds_total") == pytest.approx(int(in_sql) / 1e6)


def test_scores_equal_those_of_the_host(outcome: Outcome, analysed: Analysed) -> None:
    """Score bands and statistics equal those of the result that the application stored."""
    row = outcome.stack.sql.analysis(analysed.analysis)
    scores = [
        Decimal(str(candidate["overall"])) for candidate in json.loads(row["coverage_data"])["candidates"]
    ]
    run = next(run for run in outcome.stack.sql.runs(analysed.analysis) if run["kind"] == "analysis")

    bands = [row[f"candidates_{band}_percent"] for band in ("above_70", "50_to_70", "below_50")]
    assert bands == [
        sum(score >= 70 for score in scores),
        sum(50 <= score < 70 for score in scores),
        sum(score < 50 for score in scores),
    ]
    assert sum(bands) == run["n_scored"] == len(analysed.files)
    assert _share(row["min_overall_score"]) == min(scores) / 100
    assert _share(row["max_overall_score"]) == max(scores) / 100
    assert float(row["avg_overall_score"]) == pytest.approx(
        float(sum(scores) / len(scores) / 100), abs=5.1e-5
    )
    assert float(row["median_overall_score"]) == pytest.approx(float(median(scores) / 100), abs=5.1e-5)


def test_columns_of_the_host_are_unchanged(outcome: Outcome, analysed: Analysed) -> None:
    """The host's own columns are as it wrote them, such as the override above its limit."""
    row = outcome.stack.sql.analysis(analysed.analysis)
    is_large = len(analysed.files) > RESUME_LIMIT

    assert (bool(row["exceeded_resume_limit"]), bool(row["user_chose_override"])) == (is_large, is_large)
    assert row["num_candidates"] == len(analysed.files)
    assert row["num_criteria"] == 4
    assert Decimal(str(row["cost_usd"])) == Decimal("2.00") + len(analysed.files) * Decimal("0.10")


def test_large_analysis_runs_in_worker(outcome: Outcome) -> None:
    """The analysis of 250 candidates waits for the worker; the small ones run in their request."""
    runs = {run["candidates"]: run for run in outcome.stack.sql.runs(kind="analysis")}

    assert set(runs) == set(SIZES)
    assert runs[250]["queue_wait_us"] > 0
    assert (runs[1]["queue_wait_us"], runs[5]["queue_wait_us"]) == (None, None)
    in_worker = outcome.stack.sql.rows(PROCESSES, kind="analysis", least=250)
    in_web = outcome.stack.sql.rows(PROCESSES, kind="intake", least=0)
    assert len(in_worker) == 1
    assert in_worker[0] not in in_web


def test_rows_of_files_have_sizes_types_and_durations(outcome: Outcome, analysed: Analysed) -> None:
    """Each stored file has its size, length, type, chunks and durations."""
    rows = outcome.stack.sql.files(analysed.analysis)
    uploaded = dict(analysed.files)

    assert {row["file_name"] for row in rows} == set(uploaded)
    for row in rows:
        assert row["resume_file_size_bytes"] == len(uploaded[row["file_name"]])
        assert row["resume_character_count"] == len(row["extracted_text"])
        assert row["resume_file_type"] == row["file_name"].rpartition(".")[2]
        assert row["chunk_count"] == -(-len(row["extracted_text"]) // 6000)
        assert float(row["extraction_duration_seconds"]) >= 0
        assert 0 < float(row["analysis_duration_seconds"]) < 110
        assert not row["processing_error"]
        assert row["error_message"] is None


def test_row_of_analysis_sums_document_sizes(outcome: Outcome, analysed: Analysed) -> None:
    """It has the bytes and characters of its résumés."""
    row = outcome.stack.sql.analysis(analysed.analysis)
    texts = [len(file["extracted_text"]) for file in outcome.stack.sql.files(analysed.analysis)]

    assert row["total_resume_file_size_bytes"] == sum(len(data) for _, data in analysed.files)
    assert (row["min_resume_character_count"], row["max_resume_character_count"]) == (min(texts), max(texts))
    assert row["avg_resume_character_count"] == round(sum(texts) / len(texts))


def test_every_stage_has_its_time(outcome: Outcome, analysed: Analysed) -> None:
    """No stage takes longer than its runs."""
    row = outcome.stack.sql.analysis(analysed.analysis)
    spans = [run["duration_us"] for run in outcome.stack.sql.runs(analysed.analysis)]
    times = [
        row[column]
        for column in (
            "text_extraction_total_time",
            "embedding_generation_time",
            "similarity_calculation_time",
            "database_write_time",
            "insights_generation_time_seconds",
        )
    ]

    assert None not in times
    assert all(0 <= float(time) <= sum(spans) / 1e6 for time in times)
    assert float(row["embedding_generation_time"]) > 0


def _integers(row: Row) -> dict[str, int]:
    """Convert to integers, since PostgreSQL sums bigint columns as numeric."""
    return {name: int(value) for name, value in row.items()}


def _run_figures(expected: Truth) -> dict[str, int]:
    figures = asdict(expected)
    return {"api_calls": figures["calls"], **{name: figures[name] for name in RUN_FIGURES}}


def _dollars(value: Any) -> Decimal:
    """Return a NUMERIC(20,12), which SQLite stores as a float."""
    return Decimal(str(value)).quantize(Decimal("1e-12"))


def _share(value: Any, digits: int = 4) -> Decimal:
    """Return a NUMERIC with a scale."""
    return Decimal(str(value)).quantize(Decimal(1).scaleb(-digits))
