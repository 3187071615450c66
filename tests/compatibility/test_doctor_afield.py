"""The doctor's checks outside the process: Collector, Prometheus, database, spool, prices and clocks.

Each is broken in turn; the doctor names it, says what to do, and takes seconds if nothing answers.
"""

from __future__ import annotations

import json
import os
import re
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, date, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from opentelemetry.sdk.metrics import MeterProvider

from exporters.spool.quarantine import quarantine
from exporters.sql.schema import migrate
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.choice import first_of
from tests.compatibility.conftest import NewHost, Session
from tests.compatibility.test_doctor import only, wrong
from tests.end_to_end.collector import Collector, attributes
from tests.environments import ROOT
from tests.exporters.makers import Fragment, call
from tests.local_server import Handler, LocalServer
from tests.prometheus import Prometheus

OTLP: dict[str, Any] = {"OTEL_TRACES_EXPORTER": "otlp", "OTEL_METRICS_EXPORTER": "otlp"}
NOTHING_LISTENS = "http://127.0.0.1:9"
"""An address where nothing listens."""
ALL_DOWN_SECONDS = 30.0
"""The doctor takes about four seconds on a quiet machine, and two more if nothing answers."""


def lines(session: Session, subject: str) -> list[str]:
    """Return the lines about one subject, with their marks."""
    return [line for line in session.out.splitlines() if line[2:].startswith(f"{subject} ")]


@contextmanager
def answering(status: int = 200, ahead: float = 0.0, **headers: str) -> Iterator[str]:
    """Run a server that gives every request the same response, with its clock shifted."""

    class Clerk(Handler):
        def do_POST(self) -> None:
            self.body()
            self.answer(status, **headers)

        def do_GET(self) -> None:
            self.answer(status, **headers)

        def date_time_string(self, timestamp: float | None = None) -> str:
            return format_datetime(datetime.now(UTC) + timedelta(seconds=ahead), usegmt=True)

    with LocalServer(Clerk) as server:
        yield server.url


@contextmanager
def silence() -> Iterator[int]:
    """Open a port that accepts connections, and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_collector_gets_the_synthetic_run(host: NewHost) -> None:
    """Its trace and metrics arrive; the trace is marked as synthetic, and has no cost."""
    healthy = host()
    with Collector() as collector:
        session = healthy.doctor(OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, **OTLP)

    assert wrong(session) == []
    assert [line[:25] for line in lines(session, "collector")] == [
        "✓ collector       takes t",
        "✓ collector       takes m",
    ]
    (traced,) = lines(session, "trace")
    (name,) = re.findall(r"([0-9a-f]{32}) was exported", traced)
    spans = [span for _, span in collector.spans() if span.trace_id.hex() == name]
    assert len(spans) == 6, "run, stage, document, and three calls"
    assert {attributes(span.attributes).get("analysis.run.synthetic") for span in spans} == {True, None}
    assert collector.total("telemetry.synthetic.runs") == 1
    assert collector.total("analysis.runs.active") == collector.total("analysis.openai.cost.usd") == 0
    assert collector.total("analysis.openai.operations") == collector.total("analysis.runs") == 0
    assert "✓ metrics         were exported" in session.out
    assert re.search(r"✓ clock           within 1\.\d s of the Collector", session.out)


@pytest.mark.parametrize("signal", ["traces", "metrics"])
def test_endpoint_of_one_signal_is_enough(signal: str, host: NewHost) -> None:
    """That signal is exported to exactly this address."""
    environment = host()
    environment.environment.pop(f"OTEL_{signal.upper()}_EXPORTER")
    name = f"OTEL_EXPORTER_OTLP_{signal.upper()}_ENDPOINT"

    with Collector() as collector:
        settings: dict[str, Any] = {name: f"{collector.url}/v1/{signal}"}
        session = environment.doctor(**settings)

    assert wrong(session) == []
    assert {path for path, _ in collector.bodies} == {f"/v1/{signal}"}
    (line,) = lines(session, "collector")
    assert f"takes {signal} to {collector.url}/v1/{signal} (http/protobuf)" in line


def test_unreachable_collector_is_a_problem(host: NewHost) -> None:
    """Both signals and the lost trace are named; SQL and metrics agree all the same."""
    session = host().doctor(OTEL_EXPORTER_OTLP_ENDPOINT=NOTHING_LISTENS, **OTLP)

    problems = wrong(session)
    assert len(problems) == 3
    for line, signal in zip(problems, ("traces", "metrics"), strict=False):
        assert (
            f"does not take {signal} to {NOTHING_LISTENS}/v1/{signal}" in line
            and "connection refused" in line
        )
        assert line.endswith("start the Collector, or correct OTEL_EXPORTER_OTLP_ENDPOINT")
    assert "could not be exported → see collector" in problems[2]
    assert "the same in SQL, metrics and trace" in session.out
    assert session.err == ""


WRONG_ENDPOINTS: dict[str, tuple[dict[str, Any], str, str]] = {
    "not found": ({"status": 404}, "answered 404 Not Found", "is the address alone, without /v1/traces"),
    "refused": ({"status": 401}, "answered 401 Unauthorized", "correct OTEL_EXPORTER_OTLP_HEADERS"),
    "elsewhere": ({"status": 302, "Location": "/login"}, "answered 302 Found", "start the Collector"),
    "a page": (
        {"Content_Type": "text/html"},
        "answered with a web page",
        "start the Collector",
    ),
}


@pytest.mark.parametrize("name", WRONG_ENDPOINTS)
def test_endpoint_that_is_no_collector_is_a_problem(name: str, host: NewHost) -> None:
    """The line has the response, which the exporter would ignore or only log, and the remedy."""
    answer, reason, remedy = WRONG_ENDPOINTS[name]
    with answering(**answer) as url:
        session = host().doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=url.replace("//", "//user:hidden@"), OTEL_TRACES_EXPORTER="otlp"
        )

    (line, _) = wrong(session)
    assert f"does not take traces to {url}/v1/traces (http/protobuf): {reason}" in line
    assert remedy in line
    assert "hidden" not in session.out + session.err


@pytest.mark.parametrize(
    "exporter", first_of(["otlp", "otlp_proto_http", None], "other ways to say the same")
)
def test_missing_grpc_exporter_is_a_problem(exporter: str | None, host: NewHost) -> None:
    """The line names the package, whichever variable chose gRPC."""
    chosen = host()
    chosen.environment.pop("OTEL_TRACES_EXPORTER")
    settings: dict[str, Any] = {
        "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc",
        "OTEL_EXPORTER_OTLP_ENDPOINT": NOTHING_LISTENS,
    }
    if exporter:
        settings["OTEL_TRACES_EXPORTER"] = exporter

    problems = "\n".join(wrong(chosen.doctor(**settings)))

    package = "opentelemetry-exporter-otlp-proto-grpc"
    assert (
        f"traces are to be sent by otlp_proto_grpc, but {package} is not installed → pip install {package}"
        in problems
    )
    if exporter == "otlp":
        assert "set-up          telemetry is off: Requested component 'otlp_proto_grpc' not found" in problems


def test_doctor_is_quick_although_nothing_answers(host: NewHost) -> None:
    """Connections to Collector, Prometheus and database succeed, but none answers."""
    with silence() as collector, silence() as prometheus, silence() as database:
        started = time.monotonic()
        session = host().doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=f"http://127.0.0.1:{collector}",
            TELEMETRY_PROMETHEUS_URL=f"http://127.0.0.1:{prometheus}",
            TELEMETRY_DATABASE_URL=f"postgresql+psycopg2://127.0.0.1:{database}/nowhere",
            **OTLP,
        )
        took = time.monotonic() - started

    assert [line.split()[1] for line in wrong(session)] == [
        "database",
        "collector",
        "collector",
        "prometheus",
    ]
    assert "no answer in time" in session.out
    assert "! synthetic run   skipped: the database must be repaired first" in session.out
    assert took < ALL_DOWN_SECONDS


def test_prometheus_is_queried(host: NewHost, tmp_path: Path) -> None:
    """A real Prometheus has no metric of telemetry at first, and then those it has scraped."""
    meters = MeterProvider(shutdown_on_exit=False)
    settings = Settings(spool_dir=tmp_path / "other", metrics_port=0)
    with recording(settings, meter_provider=meters) as pipeline:
        assert pipeline.listener
        with Prometheus() as empty:
            session = host().doctor(TELEMETRY_PROMETHEUS_URL=empty.url)
            assert wrong(session) == []
            (line,) = lines(session, "prometheus")
            assert line.startswith("! ") and "has no metric of telemetry → let it scrape" in line
        with Prometheus(pipeline.listener.port or 0) as scraping:
            scraping.wait_for("analysis_runs_total")
            session = host().doctor(TELEMETRY_PROMETHEUS_URL=scraping.url)
            assert wrong(session) == []
            assert re.search(rf"✓ prometheus      {scraping.url} answers, and has \d+ series", session.out)
            assert re.search(r"✓ clock           within 1\.\d s of Prometheus", session.out)


def test_output_in_the_documentation_is_current(host: NewHost, postgres_url: str, tmp_path: Path) -> None:
    """With everything running, the last lines equal those of the page, except for numbers."""
    page = (ROOT / "docs" / "how-to" / "doctor.md").read_text()
    shown = page.split("<!-- doctor output -->\n```text\n")[1].split("```")[0]
    meters = MeterProvider(shutdown_on_exit=False)
    settings = Settings(spool_dir=tmp_path / "other", metrics_port=0)
    with recording(settings, meter_provider=meters) as pipeline, Collector() as collector:
        assert pipeline.listener
        with Prometheus(pipeline.listener.port or 0) as prometheus:
            prometheus.wait_for("analysis_runs_total")
            session = host(url=postgres_url).doctor(
                OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, TELEMETRY_PROMETHEUS_URL=prometheus.url, **OTLP
            )

    assert wrong(session) == []
    assert masked(session.out.splitlines()[-8:]) == masked(shown.splitlines())


def masked(text: list[str]) -> list[str]:
    """Return lines without varying numbers, ids and addresses."""
    return [re.sub(r"[0-9a-f]{32}|//[\w.]+:\d+|\b[\d.]+", "#", line) for line in text]


def test_unusable_prometheus_is_a_problem(host: NewHost) -> None:
    """It may be unreachable, another service, or a malformed address."""
    with answering() as other, answering(503) as starting:
        for url, complaint in (
            (NOTHING_LISTENS, "does not answer: connection refused"),
            (other, "is no Prometheus: it does not know /api/v1/query"),
            (starting, "answered 503 Service Unavailable"),
        ):
            line = only(host().doctor(TELEMETRY_PROMETHEUS_URL=url))
            assert f"✗ prometheus      {url} {complaint}" in line
            assert line.endswith("start it, or correct TELEMETRY_PROMETHEUS_URL")
    problems = wrong(host().doctor(TELEMETRY_PROMETHEUS_URL="localhost:9090"))
    assert "TELEMETRY_PROMETHEUS_URL must be an address such as http://" in problems[0]


@pytest.mark.parametrize(("ahead", "direction"), [(-3600, "ahead of"), (90, "behind")])
def test_wrong_clock_is_a_problem(ahead: int, direction: str, host: NewHost) -> None:
    """The line has the difference, and whose clock it is compared with."""
    with answering(ahead=ahead) as url:
        line = only(host().doctor(OTEL_EXPORTER_OTLP_ENDPOINT=url, **OTLP))

    (seconds,) = re.findall(rf"✗ clock +this machine's is ([\d,]+) s {direction} that of the Collector", line)
    assert abs(float(seconds.replace(",", "")) - abs(ahead)) < 3
    assert "synchronise the clocks" in line


def test_synthetic_run_on_postgresql(host: NewHost, postgres_url: str) -> None:
    """The run is stored and removed, and the database's clock is compared."""
    healthy = host(url=postgres_url)

    session = healthy.doctor()

    assert wrong(session) == []
    assert "the same in SQL, metrics and trace" in session.out
    assert re.search(r"✓ clock           within 0\.\d s of the database", session.out)
    for table in ("telemetry_runs", "telemetry_fragments", "telemetry_stage_usage", "telemetry_documents"):
        assert healthy.rows(table) == []


def test_database_behind_head_gets_no_synthetic_run(host: NewHost) -> None:
    """The revision is the only problem, and nothing is left in the spool."""
    behind = host()
    migrate.downgrade(behind.url, "3_host_columns")

    session = behind.doctor()

    assert "at revision 3_host_columns; the newest is" in only(session)
    assert "! synthetic run   skipped: the database must be repaired first" in session.out
    assert list(Path(behind.environment["TELEMETRY_SPOOL_DIR"]).rglob("*.json")) == []


def test_no_run_leaves_out_the_synthetic_run(host: NewHost) -> None:
    """The option --no-run works in both ways to start the doctor."""
    for flask in (True, False):
        healthy = host()
        session = healthy.doctor("--no-run", flask=flask, TELEMETRY_DATABASE_URL=healthy.url)
        assert "! synthetic run   skipped (--no-run)" in session.out


def test_json_has_all_checks(host: NewHost) -> None:
    """It is one object, and the exit status is the same."""
    for url, status in (("", 0), (NOTHING_LISTENS, 1)):
        session = host().doctor("--json", TELEMETRY_PROMETHEUS_URL=url)
        problems = json.loads(session.out)
        assert session.status == problems["wrong"] == status
        bad = [check for check in problems["checks"] if check["result"] == "bad"]
        assert [check["subject"] for check in bad] == ["prometheus"] * status
        assert all(set(check) == {"result", "subject", "text", "remedy"} for check in problems["checks"])


def test_unwritable_spool_is_a_problem(host: NewHost, tmp_path: Path) -> None:
    """The synthetic run is delivered from memory all the same."""
    (tmp_path / "file").touch()

    session = host().doctor(TELEMETRY_SPOOL_DIR=str(tmp_path / "file" / "spool"))

    assert "cannot be written" in only(session)
    assert "the same in SQL, metrics and trace" in session.out


def test_full_disk_is_a_problem(host: NewHost) -> None:
    """A file can be created, but a rollup does not fit."""
    of = host()
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500_000,) * 2)"
    run = "import runpy; runpy.run_module('telemetry.doctor', run_name='__main__')"
    session = of.call([str(of.python), "-c", f"{limited}; {run}", "--no-run"], {})

    (line,) = [line for line in session.out.splitlines() if "cannot be written" in line]
    assert "File too large" in line and "TELEMETRY_SPOOL_DIR" in line


def test_old_and_quarantined_entries_are_problems(host: NewHost, tmp_path: Path) -> None:
    """Entries of running processes, old ones, refused ones and damaged ones are listed."""
    of = host()
    spool = Path(of.environment["TELEMETRY_SPOOL_DIR"])
    settings = Settings(spool_dir=spool, database_url=of.url)
    with recording(settings) as pipeline:  # a running process without a database
        root = pipeline.spool.root
        pipeline.spool.put(Fragment().calls(call()).snapshot())
        session = of.doctor("--no-run")
        assert wrong(session) == []
        assert re.search(r"✓ spool +1 snapshots of 1 living processes, the oldest \d+ s old", session.out)
        (file,) = root.glob("*/*.json")
        os.utime(file, (time.time() - 7200,) * 2)
        line = only(of.doctor("--no-run"))
        assert re.search(r"the oldest 72\d\d s old → see the log of these processes", line)
        quarantine(root, Fragment().close(), "DataError")
        (root / "unreadable").mkdir()
        (root / "unreadable" / "half.json").write_text("{")
        problems = wrong(of.doctor("--no-run"))
        assert (
            "1 snapshots are in quarantine, as the database refused them (DataError) → flask telemetry spool"
            in problems[1]
        )
        assert f"1 files are damaged, or not of telemetry: {root}/unreadable" in problems[2]


def test_ended_prices_are_a_problem(host: NewHost, tmp_path: Path) -> None:
    """They are so if no price follows; a file that is unchanged for long is a note."""
    path = tmp_path / "prices.toml"
    today = datetime.now(UTC).date()

    def price(model: str, until: date) -> str:
        return f'[[price]]\nmodel = "{model}"\ninput = 1\noutput = 2\nuntil = {until}\n'

    path.write_text(
        'version = "c"\n' + price("followed", today) + price("followed", today + timedelta(days=9))
    )
    session = host().doctor("--no-run", TELEMETRY_PRICES_FILE=str(path))
    assert wrong(session) == []
    assert f"✓ prices          {path}, version c, changed 0 days ago" in session.out

    os.utime(path, (time.time() - 400 * 86_400,) * 2)
    session = host().doctor("--no-run", TELEMETRY_PRICES_FILE=str(path))
    assert wrong(session) == []
    assert f"! prices          {path}, version c, changed 400 days ago" in session.out

    path.write_text(path.read_text() + price("own-*", today))
    line = only(host().doctor("--no-run", TELEMETRY_PRICES_FILE=str(path)))
    assert f"1 prices in {path} have ended, and none follows: own-* → add the current ones" in line


def test_synthetic_run_is_priced_by_the_price_file(host: NewHost, tmp_path: Path) -> None:
    """The expected cost is that of the file's prices."""
    path = tmp_path / "prices.toml"
    path.write_text(
        'version = "c"\n[[price]]\nmodel = "gpt-4o-mini"\ninput = 1\ncached_input = 1\noutput = 1\n'
    )

    session = host().doctor(TELEMETRY_PRICES_FILE=str(path))

    assert wrong(session) == []
    assert "2,342 tokens, $0.002342: the same in SQL" in session.out


def test_trace_is_exported_although_metrics_fail(host: NewHost) -> None:
    """The signals have different endpoints, of which only that of metrics is a problem."""
    with Collector() as collector:
        session = host().doctor(
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.url}/v1/traces",
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{NOTHING_LISTENS}/v1/metrics",
            **OTLP,
        )

    assert "does not take metrics" in only(session)
    assert "correct OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" in only(session)
    assert "was exported" in lines(session, "trace")[0]


def test_dropped_trace_is_no_problem(host: NewHost) -> None:
    """The sampler drops the trace, as configured; all figures agree."""
    with Collector() as collector:
        session = host().doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TRACES_SAMPLER="always_off", **OTLP
        )

    assert wrong(session) == []
    assert "is not exported: always_off drops it" in lines(session, "trace")[0]
    assert "the same in SQL, metrics and trace" in session.out


def test_concurrent_doctors_do_not_interfere(host: NewHost) -> None:
    """Each checks its own synthetic run, and none is left."""
    healthy = host()
    sessions: list[Session] = []
    doctors = [Thread(target=lambda: sessions.append(healthy.doctor())) for _ in range(3)]
    for doctor in doctors:
        doctor.start()
    for doctor in doctors:
        doctor.join()

    assert [wrong(session) for session in sessions] == [[], [], []]
    assert healthy.rows("telemetry_runs") == []
