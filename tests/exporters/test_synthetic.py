"""A synthetic run arrives exactly in database, metrics and trace, but no total or report counts it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from opentelemetry import metrics, trace
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import (
    InMemoryMetricReader,
    MetricExporter,
    MetricExportResult,
    MetricsData,
    PeriodicExportingMetricReader,
)
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from sqlalchemy.engine import Engine

import telemetry
from exporters.export.jobs import Export
from exporters.findings.insights import insights
from exporters.integrity.validation import broken
from exporters.reports import report
from exporters.sql.storage import runs as run_storage
from exporters.upkeep.erase import PARTS
from exporters.upkeep.health_log import HealthCheck
from exporters.upkeep.reprice import reprice
from telemetry import conventions as c
from telemetry.doctor import Check, Patient
from telemetry.doctor.probes.exporters import Exporters
from telemetry.doctor.probes.synthetic_rows import SyntheticRows
from telemetry.doctor.trial import CALLS, MODEL, check_synthetic_run, synthetic_run
from telemetry.pricing.prices import Price, Tokens, list_price, prices
from telemetry.settings import Settings
from telemetry.setup import process as setup
from telemetry.testing import recording
from tests.exporters.makers import SOME_HOSTS, Fragment, Host, call, visit
from tests.exporters.spent import spend
from tests.waiting import until

HOSTS = SOME_HOSTS
COST: int = sum(price.pico for _, tokens in CALLS if (price := list_price("openai", MODEL, tokens, 0, "")))
VIEWS = ("telemetry_jobs", "telemetry_stages", "telemetry_run_spend", "telemetry_spend")

Trial = Callable[..., list[Check]]


@pytest.fixture
def readers() -> list[InMemoryMetricReader]:
    """The readers of this process's metrics, one for each trial."""
    return []


@pytest.fixture
def trial(
    readers: list[InMemoryMetricReader], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """A function that makes the doctor's check in this process, with providers of its own."""

    def run(url: str, sampler: Any = None, before: Callable[[], None] = lambda: None, **parts: Any) -> Any:
        provider = TracerProvider(shutdown_on_exit=False, sampler=sampler)
        readers.append(InMemoryMetricReader())
        meters = MeterProvider(readers[-1:], shutdown_on_exit=False)
        monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
        monkeypatch.setattr(metrics, "get_meter_provider", lambda: meters)
        settings = Settings(spool_dir=tmp_path / "spool", database_url=url, hmac_key="key")
        with recording(settings, provider, meter_provider=meters, **parts):
            before()
            return list(check_synthetic_run(Patient(settings=settings, is_database_ready=True)))

    yield run


def results(checks: list[Check]) -> dict[str, str]:
    return {check.subject: check.result for check in checks}


def keep_synthetic_rows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevent the doctor from removing the run."""
    monkeypatch.setattr(SyntheticRows, "remove", lambda *_: 0)


def sums_of(reader: InMemoryMetricReader) -> dict[str, float]:
    """Return the sum of every metric, for histograms their count."""
    sums: dict[str, float] = {}
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                points: Any = metric.data.data_points
                values = (point.value if hasattr(point, "value") else point.count for point in points)
                sums[metric.name] = sum(values)
    return sums


def test_a_synthetic_run_is_stored_exactly(host: Host, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its rows have every figure, the stage, the document, the trace, and the mark as synthetic."""
    keep_synthetic_rows(monkeypatch)

    checks = trial(host.url)

    assert results(checks) == {"synthetic run": "good", "trace": "good"}
    row = host.row("telemetry_runs")
    expected = {
        "kind": "analysis",
        "status": "completed",
        "api_calls": 3,
        "attempts": 4,
        "rate_limit_hits": 1,
    }
    expected |= {"input_tokens": 2201, "cached_tokens": 1024, "output_tokens": 141, "cost_pico": COST}
    expected |= {"n_documents": 1, "n_scored": 1, "analysis_ref": None, "user_ref": None, "above_70": 1}
    assert {name: row[name] for name in expected} == expected
    assert row["synthetic"] and row["cost_complete"]
    assert row["trace_id"] in next(check.text for check in checks if check.subject == "trace")
    assert {stage["stage"] for stage in host.rows("telemetry_stage_usage")} == {"ranking"}
    assert float(host.row("telemetry_documents")["score"]) == 0.75
    dollars = f"${Decimal(COST) / 10**12:f}"
    assert f"3 calls, 4 attempts, 2,342 tokens, {dollars}: the same in SQL" in checks[0].text


def test_a_successful_synthetic_run_is_removed(host: Host, trial: Trial) -> None:
    """All its rows are removed, so that a doctor that runs every day fills no table."""
    for _ in range(3):
        assert results(trial(host.url))["synthetic run"] == "good"

    for table in ("telemetry_runs", *(part.name for part in PARTS)):
        assert host.rows(table) == []


def test_old_synthetic_runs_are_removed(host: Host, engine: Engine, trial: Trial) -> None:
    """One of a doctor that died is removed after an hour; recent and real runs stay."""
    ids = {}
    for name, is_synthetic in (("dead", True), ("alive", True), ("real", False)):
        fragment = Fragment(synthetic=is_synthetic).calls(call()).documents(visit(score=0.5))
        ids[name] = run_storage.deliver(engine, fragment.close()).run_id
    for name in ("dead", "real"):
        then = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=2)
        host.execute("UPDATE telemetry_runs SET seen_at = :then WHERE run_id = :id", then=then, id=ids[name])

    trial(host.url)

    remaining = {ids["alive"], ids["real"]}
    for table in ("telemetry_runs", "telemetry_fragments", "telemetry_stage_usage", "telemetry_documents"):
        assert {row["run_id"] for row in host.rows(table)} == remaining


def test_no_metric_counts_a_synthetic_run(
    host: Host, trial: Trial, readers: list[InMemoryMetricReader]
) -> None:
    """One metric shows that there was one; no other has its calls, tokens, costs or documents."""
    trial(host.url)

    sums = sums_of(readers[-1])
    assert sums.pop(c.SYNTHETIC_RUNS.name) == 1
    assert {name: value for name, value in sums.items() if name.startswith("analysis.") and value} == {}
    assert sums[c.OPENAI_ATTEMPTS.name] == 0, "the metrics exist at all"


def test_real_runs_beside_a_synthetic_one_are_counted(
    host: Host, trial: Trial, readers: list[InMemoryMetricReader]
) -> None:
    """The same process counts its real runs, and only these."""

    def real() -> None:
        tracer = trace.get_tracer(c.OPENAI_SCOPE)
        with telemetry.run("analysis", candidates=1), telemetry.stage("ranking"):
            recorded: dict[str, Any] = {c.Attribute.OPERATION: "chat", c.Attribute.REQUEST_MODEL: MODEL}
            tracer.start_span("chat", attributes=recorded | {c.Attribute.INPUT_TOKENS: 7}).end()

    assert results(trial(host.url, before=real))["synthetic run"] == "good"

    sums = sums_of(readers[-1])
    assert (sums[c.RUNS.name], sums[c.OPENAI_OPERATIONS.name], sums[c.OPENAI_TOKENS.name]) == (1, 1, 7)
    until(lambda: [row["synthetic"] for row in host.rows("telemetry_runs")] == [False])


def test_no_report_counts_a_synthetic_run(
    host: Host, engine: Engine, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views, report, daily log, insights, export, spending and repricing ignore it."""
    keep_synthetic_rows(monkeypatch)
    trial(host.url)
    assert len(host.rows("telemetry_runs")) == 1
    settings = Settings(database_url=host.url, hmac_key="key")

    for view in VIEWS:
        with host.engine.connect() as connection:
            assert connection.scalar(sa.text(f"SELECT COUNT(*) FROM {view}")) == 0, view
    figures = report(settings, 2)
    assert (figures.jobs, figures.cost.pico, figures.latest, figures.stages) == (0, 0, [], [])
    with HealthCheck(settings) as check:
        check.tidy()
        for day in check.log(check.yesterday()):
            assert (day.jobs_completed, day.cost_pico, day.total_api_calls, day.rate_limit_incidents) == (
                0,
            ) * 4
            assert (day.peak_concurrent_jobs, day.total_candidates_processed) == (0, 0)
    assert insights(settings) == []
    with Export(host.url) as export:
        assert list(export.rows()) == []
    with engine.connect() as connection:
        spent = spend(connection)
        assert (spent.total, sum(spent.runs.values())) == (0, 0)
    priced = reprice(host.url, prices(None), since=date(2020, 1, 1), apply=True)
    assert priced.runs == 0
    assert list(broken(engine)) == []
    assert host.rows("telemetry_users") == []


def wrong(provider: str, model: str, tokens: Tokens, at_ns: int, tier: str) -> Price | None:
    return Price(1, "wrong", "1")


def test_a_wrong_figure_is_named(host: Host, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check names it with the expected value, and the rows stay to be looked at."""
    monkeypatch.setattr("telemetry.doctor.trial.DELIVERY_SECONDS", 60.0)  # enough on a busy machine
    checks = trial(host.url, price=wrong)

    bad = [check for check in checks if check.result == "bad"]
    assert [check.text for check in bad] == [
        f"wrong in SQL: cost_pico 3 instead of {COST}",
        f"wrong in metrics: cost_pico 3 instead of {COST}",
    ]
    assert host.row("telemetry_runs")["run_id"] in bad[0].remedy


def test_a_row_missing_in_sql_is_named(host: Host, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Metrics and trace are right, and only SQL is reported as wrong."""
    monkeypatch.setattr("exporters.sql.storage.run_rows._document_rows", lambda *_: [])

    (check,) = (check for check in trial(host.url) if check.result == "bad")

    assert check.text == "wrong in SQL: documents 0 instead of 1"


def test_a_run_that_does_not_arrive_is_reported_with_the_reason(sqlite_host: Host, trial: Trial) -> None:
    """The reason is the writer's last error."""
    sqlite_host.execute("DROP TABLE telemetry_stage_usage")

    check, compared, _ = trial(sqlite_host.url)

    assert (check.result, check.subject) == ("bad", "synthetic run")
    assert compared.text.endswith("the same in metrics and trace")
    assert "did not arrive in SQL within 10 s" in check.text and "telemetry_stage_usage" in check.text


def test_metrics_and_trace_are_compared_without_a_database(trial: Trial) -> None:
    """The check succeeds, and says what was compared."""
    checks = trial("")

    assert results(checks) == {"synthetic run": "good", "trace": "good"}
    assert checks[0].text.endswith("the same in metrics and trace")


def test_a_trace_that_is_not_sampled_is_a_note(sqlite_host: Host, trial: Trial) -> None:
    """The figures do not depend on sampling, but the trace will not be found."""
    checks = trial(sqlite_host.url, sampler=ALWAYS_OFF)

    assert results(checks) == {"synthetic run": "good", "trace": "note"}
    assert "is not exported" in checks[1].text


def test_nothing_is_checked_without_a_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telemetry is off, so that there is nothing to check."""
    monkeypatch.setattr(setup, "_pipeline", None)

    assert list(check_synthetic_run(Patient(settings=Settings()))) == []
    assert synthetic_run().run_id is None


def test_only_synthetic_runs_are_removed(engine: Engine, host: Host) -> None:
    """A real run is not removed, even if its id is given."""
    fragment = Fragment()
    run_storage.deliver(engine, fragment.close())

    with SyntheticRows(host.url) as rows:
        assert rows.remove(fragment.accumulator.facts.run_id) == 0

    assert len(host.rows("telemetry_runs")) == 1


def test_metrics_that_take_too_long_are_not_exported() -> None:
    """Where gauges of the application are slow, the SDK raises; the doctor reports that nothing arrived."""
    meters = MeterProvider([PeriodicExportingMetricReader(Accepting(), 10**9)], shutdown_on_exit=False)
    exporters = Exporters(TracerProvider(shutdown_on_exit=False), meters)
    exporters.watch()
    for name in ("one", "other"):
        meters.get_meter("application").create_observable_gauge(name, [slow])

    exporters.flush(0.05)

    assert exporters.taken == {"metrics": [False]}
    exporters.end()


def slow(options: CallbackOptions) -> Iterator[Observation]:
    time.sleep(0.2)
    yield Observation(1)


class Accepting(MetricExporter):
    """A backend that accepts whatever arrives."""

    def export(self, metrics_data: MetricsData, *_: Any, **__: Any) -> MetricExportResult:
        return MetricExportResult.SUCCESS

    def force_flush(self, timeout_millis: float = 0) -> bool:
        return True

    def shutdown(self, timeout_millis: float = 0, **_: Any) -> None:
        pass
