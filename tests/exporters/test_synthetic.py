"""A synthetic run arrives everywhere, exactly, and no total, report or metric of anybody's counts it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
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
from telemetry.api import runs as api
from telemetry.doctor import Check, Patient
from telemetry.doctor.probes.synthetic_rows import SyntheticRows
from telemetry.doctor.trial import CALLS, MODEL, check_synthetic_run
from telemetry.pricing.prices import Price, Tokens, list_price, prices
from telemetry.settings import Settings
from telemetry.setup import process as setup
from telemetry.testing import recording
from tests.exporters.makers import SOME_HOSTS, Fragment, Host, call, until, visit
from tests.exporters.spent import spend

HOSTS = SOME_HOSTS
COST: int = sum(price.pico for _, tokens in CALLS if (price := list_price("openai", MODEL, tokens, 0, "")))
VIEWS = ("telemetry_jobs", "telemetry_stages", "telemetry_run_spend", "telemetry_spend")

Trial = Callable[..., list[Check]]


@pytest.fixture
def readers() -> list[InMemoryMetricReader]:
    """What everybody sees of the metrics of this process, once for each trial."""
    return []


@pytest.fixture
def trial(
    readers: list[InMemoryMetricReader], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """The check as the doctor makes it, in this process, with providers of its own."""

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


def kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the doctor leave the run in the tables."""
    monkeypatch.setattr(SyntheticRows, "remove", lambda *_: 0)


def seen(reader: InMemoryMetricReader) -> dict[str, float]:
    """Sum of each metric, of histograms their count."""
    sums: dict[str, float] = {}
    data = reader.get_metrics_data()
    for resource in data.resource_metrics if data else ():
        for scope in resource.scope_metrics:
            for metric in scope.metrics:
                points: Any = metric.data.data_points
                values = (point.value if hasattr(point, "value") else point.count for point in points)
                sums[metric.name] = sum(values)
    return sums


def test_it_arrives_exactly(host: Host, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its row tells each figure, its stage and its document, its trace, and that it is synthetic."""
    kept(monkeypatch)

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


def test_nothing_stays(host: Host, trial: Trial) -> None:
    """One that was right is removed with all its parts; doctors that run every day fill no table."""
    for _ in range(3):
        assert results(trial(host.url))["synthetic run"] == "good"

    for table in ("telemetry_runs", *(part.name for part in PARTS)):
        assert host.rows(table) == []


def test_what_others_left(host: Host, engine: Engine, trial: Trial) -> None:
    """A synthetic run of a doctor that died goes after an hour; one at work, and real runs, stay."""
    ids = {}
    for name, is_synthetic in (("dead", True), ("alive", True), ("real", False)):
        fragment = Fragment(synthetic=is_synthetic).calls(call()).documents(visit(score=0.5))
        ids[name] = run_storage.deliver(engine, fragment.close()).run_id
    for name in ("dead", "real"):
        then = datetime.now(UTC).replace(tzinfo=None) - timedelta(hours=2)
        host.execute("UPDATE telemetry_runs SET seen_at = :then WHERE run_id = :id", then=then, id=ids[name])

    trial(host.url)

    left = {ids["alive"], ids["real"]}
    for table in ("telemetry_runs", "telemetry_fragments", "telemetry_stage_usage", "telemetry_documents"):
        assert {row["run_id"] for row in host.rows(table)} == left


def test_no_metric_counts_it(host: Host, trial: Trial, readers: list[InMemoryMetricReader]) -> None:
    """Whoever reads the metrics sees that there was one, and no call, token, cent, run or document of it."""
    trial(host.url)

    sums = seen(readers[-1])
    assert sums.pop(c.SYNTHETIC_RUNS.name) == 1
    assert {name: value for name, value in sums.items() if name.startswith("analysis.") and value} == {}
    assert sums[c.OPENAI_ATTEMPTS.name] == 0, "and they are there at all"


def test_real_runs_beside_it_are_counted(
    host: Host, trial: Trial, readers: list[InMemoryMetricReader]
) -> None:
    """The same process goes on counting what is real, and only that."""

    def real() -> None:
        tracer = trace.get_tracer(c.OPENAI_SCOPE)
        with telemetry.run("analysis", candidates=1), telemetry.stage("ranking"):
            told: dict[str, Any] = {c.Attribute.OPERATION: "chat", c.Attribute.REQUEST_MODEL: MODEL}
            tracer.start_span("chat", attributes=told | {c.Attribute.INPUT_TOKENS: 7}).end()

    assert results(trial(host.url, before=real))["synthetic run"] == "good"

    sums = seen(readers[-1])
    assert (sums[c.RUNS.name], sums[c.OPENAI_OPERATIONS.name], sums[c.OPENAI_TOKENS.name]) == (1, 1, 7)
    until(lambda: [row["synthetic"] for row in host.rows("telemetry_runs")] == [False])


def test_no_report_counts_it(
    host: Host, engine: Engine, trial: Trial, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Views, report, log of days, insights, export, spend and prices: all as if it were not there."""
    kept(monkeypatch)
    trial(host.url)
    assert len(host.rows("telemetry_runs")) == 1
    settings = Settings(database_url=host.url, hmac_key="key")

    for view in VIEWS:
        with host.engine.connect() as connection:
            assert connection.scalar(sa.text(f"SELECT COUNT(*) FROM {view}")) == 0, view
    found = report(settings, 2)
    assert (found.jobs, found.cost.pico, found.latest, found.stages) == (0, 0, [], [])
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


def test_a_figure_that_is_wrong(host: Host, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is named, with what it should be, and the rows stay to be looked at."""
    monkeypatch.setattr("telemetry.doctor.trial.DELIVERY_SECONDS", 60.0)  # on a busy machine, too
    checks = trial(host.url, price=wrong)

    bad = [check for check in checks if check.result == "bad"]
    assert [check.text for check in bad] == [
        f"wrong in SQL: cost_pico 3 instead of {COST}",
        f"wrong in metrics: cost_pico 3 instead of {COST}",
    ]
    assert host.row("telemetry_runs")["run_id"] in bad[0].remedy


def test_sql_that_lost_a_row(host: Host, trial: Trial, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is in metrics and trace, and not in SQL, is told of SQL."""
    monkeypatch.setattr("exporters.sql.storage.run_rows._document_rows", lambda *_: [])

    (check,) = (check for check in trial(host.url) if check.result == "bad")

    assert check.text == "wrong in SQL: documents 0 instead of 1"


def test_a_database_that_refuses(sqlite_host: Host, trial: Trial) -> None:
    """It never arrives: what the writer says is the reason."""
    sqlite_host.execute("DROP TABLE telemetry_stage_usage")

    check, compared, _ = trial(sqlite_host.url)

    assert (check.result, check.subject) == ("bad", "synthetic run")
    assert compared.text.endswith("the same in metrics and trace")
    assert "did not arrive in SQL within 3 s" in check.text and "telemetry_stage_usage" in check.text


def test_without_a_database(trial: Trial) -> None:
    """Metrics and trace are compared all the same."""
    checks = trial("")

    assert results(checks) == {"synthetic run": "good", "trace": "good"}
    assert checks[0].text.endswith("the same in metrics and trace")


def test_a_trace_that_is_not_sampled(sqlite_host: Host, trial: Trial) -> None:
    """Figures do not depend on it; that nobody will find the trace is said."""
    checks = trial(sqlite_host.url, sampler=ALWAYS_OFF)

    assert results(checks) == {"synthetic run": "good", "trace": "note"}
    assert "is not exported" in checks[1].text


def test_without_a_pipeline(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where telemetry is off there is nothing to try."""
    monkeypatch.setattr(setup, "_pipeline", None)

    assert list(check_synthetic_run(Patient(settings=Settings()))) == []
    assert api.synthetic_run().run_id is None


def test_rows_are_removed_by_mark(engine: Engine, host: Host) -> None:
    """A run that is not synthetic is not removed, whoever names it."""
    fragment = Fragment()
    run_storage.deliver(engine, fragment.close())

    with SyntheticRows(host.url) as rows:
        assert rows.remove(fragment.accumulator.facts.run_id) == 0

    assert len(host.rows("telemetry_runs")) == 1
