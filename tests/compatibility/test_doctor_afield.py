"""The doctor and what is not in the process: Collector, Prometheus, database, spool, prices and clocks.

Each is broken in turn; the doctor names it, says what to do, and takes seconds when nobody answers.
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

from exporters.spool.quarantine import park
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
NOBODY = "http://127.0.0.1:9"
"""Nobody listens there."""
DOWN_SECONDS = 30.0
"""The doctor takes about four seconds on a quiet machine, and two more where nobody answers."""


def lines(session: Session, subject: str) -> list[str]:
    """What was said of one thing, with its mark."""
    return [line for line in session.out.splitlines() if line[2:].startswith(f"{subject} ")]


@contextmanager
def answering(status: int = 200, ahead: float = 0.0, **headers: str) -> Iterator[str]:
    """A server that answers everything in the same way, by a clock of its own."""

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
    """A port on which a connection is made, and nothing said."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


def test_a_collector_gets_the_run(host: NewHost) -> None:
    """Trace and metrics of the synthetic run arrive there; the trace is marked, and no money is told."""
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
def test_one_signal_of_its_own(signal: str, host: NewHost) -> None:
    """An address for one signal is enough to send that one, and the whole address it is."""
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


def test_a_collector_that_is_down(host: NewHost) -> None:
    """Both signals are named, and the trace that went nowhere; SQL and metrics agree all the same."""
    session = host().doctor(OTEL_EXPORTER_OTLP_ENDPOINT=NOBODY, **OTLP)

    found = wrong(session)
    assert len(found) == 3
    for line, signal in zip(found, ("traces", "metrics"), strict=False):
        assert f"does not take {signal} to {NOBODY}/v1/{signal}" in line and "connection refused" in line
        assert line.endswith("start the Collector, or correct OTEL_EXPORTER_OTLP_ENDPOINT")
    assert "could not be exported → see collector" in found[2]
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
def test_an_endpoint_that_is_no_collector(name: str, host: NewHost) -> None:
    """What the exporter would take for success, or keep to its log, is told with its remedy."""
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
def test_grpc_without_its_exporter(exporter: str | None, host: NewHost) -> None:
    """Chosen and not installed: named, whichever way it was chosen."""
    chosen = host()
    chosen.environment.pop("OTEL_TRACES_EXPORTER")
    settings: dict[str, Any] = {"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_ENDPOINT": NOBODY}
    if exporter:
        settings["OTEL_TRACES_EXPORTER"] = exporter

    found = "\n".join(wrong(chosen.doctor(**settings)))

    package = "opentelemetry-exporter-otlp-proto-grpc"
    assert (
        f"traces are to go by otlp_proto_grpc, but {package} is not installed → pip install {package}"
        in found
    )
    if exporter == "otlp":
        assert "set-up          telemetry is off: Requested component 'otlp_proto_grpc' not found" in found


def test_everything_is_down(host: NewHost) -> None:
    """Connections are made, and nobody ever answers: still a few seconds."""
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
    assert "! synthetic run   left out: the database comes first" in session.out
    assert took < DOWN_SECONDS


def test_prometheus(host: NewHost, tmp_path: Path) -> None:
    """A real one: first it knows nothing of ours, then what it has scraped of a listener."""
    meters = MeterProvider(shutdown_on_exit=False)
    settings = Settings(spool_dir=tmp_path / "other", metrics_port=0)
    with recording(settings, meter_provider=meters) as pipeline:
        assert pipeline.listener
        with Prometheus() as empty:
            session = host().doctor(TELEMETRY_PROMETHEUS_URL=empty.url)
            assert wrong(session) == []
            (line,) = lines(session, "prometheus")
            assert line.startswith("! ") and "knows no metric of ours → let it scrape" in line
        with Prometheus(pipeline.listener.port or 0) as scraping:
            scraping.wait_for("analysis_runs_total")
            session = host().doctor(TELEMETRY_PROMETHEUS_URL=scraping.url)
            assert wrong(session) == []
            assert re.search(rf"✓ prometheus      {scraping.url} answers, and keeps \d+ series", session.out)
            assert re.search(r"✓ clock           within 1\.\d s of Prometheus", session.out)


def test_the_output_in_the_documentation(host: NewHost, postgres_url: str, tmp_path: Path) -> None:
    """Where everything is there and well, the last lines are those that the page shows, but for numbers."""
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
    """Lines without what differs each time."""
    return [re.sub(r"[0-9a-f]{32}|//[\w.]+:\d+|\b[\d.]+", "#", line) for line in text]


def test_prometheus_that_is_none(host: NewHost) -> None:
    """Away, another service, or a wrong address."""
    with answering() as other, answering(503) as starting:
        for url, complaint in (
            (NOBODY, "does not answer: connection refused"),
            (other, "is no Prometheus: it does not know /api/v1/query"),
            (starting, "answered 503 Service Unavailable"),
        ):
            line = only(host().doctor(TELEMETRY_PROMETHEUS_URL=url))
            assert f"✗ prometheus      {url} {complaint}" in line
            assert line.endswith("start it, or correct TELEMETRY_PROMETHEUS_URL")
    found = wrong(host().doctor(TELEMETRY_PROMETHEUS_URL="localhost:9090"))
    assert "TELEMETRY_PROMETHEUS_URL must be an address such as http://" in found[0]


@pytest.mark.parametrize(("ahead", "said"), [(-3600, "ahead of"), (90, "behind")])
def test_a_clock_that_is_wrong(ahead: int, said: str, host: NewHost) -> None:
    """By how much, against whose."""
    with answering(ahead=ahead) as url:
        line = only(host().doctor(OTEL_EXPORTER_OTLP_ENDPOINT=url, **OTLP))

    (seconds,) = re.findall(rf"✗ clock +this machine's is ([\d,]+) s {said} that of the Collector", line)
    assert abs(float(seconds.replace(",", "")) - abs(ahead)) < 3
    assert "synchronise the clocks" in line


def test_on_postgresql(host: NewHost, postgres_url: str) -> None:
    """The run arrives there and is removed; its clock is compared."""
    healthy = host(url=postgres_url)

    session = healthy.doctor()

    assert wrong(session) == []
    assert "the same in SQL, metrics and trace" in session.out
    assert re.search(r"✓ clock           within 0\.\d s of the database", session.out)
    for table in ("telemetry_runs", "telemetry_fragments", "telemetry_stage_usage", "telemetry_documents"):
        assert healthy.rows(table) == []


def test_a_database_behind_head(host: NewHost) -> None:
    """One thing is wrong, and no run is made that could not arrive."""
    behind = host()
    migrate.downgrade(behind.url, "3_host_columns")

    session = behind.doctor()

    assert "at revision 3_host_columns; the newest is" in only(session)
    assert "! synthetic run   left out: the database comes first" in session.out
    assert list(Path(behind.environment["TELEMETRY_SPOOL_DIR"]).rglob("*.json")) == []


def test_without_a_run(host: NewHost) -> None:
    """Left out when asked to."""
    for flask in (True, False):
        healthy = host()
        session = healthy.doctor("--no-run", flask=flask, TELEMETRY_DATABASE_URL=healthy.url)
        assert "! synthetic run   left out (--no-run)" in session.out


def test_json(host: NewHost) -> None:
    """The same as one object, with the same exit status."""
    for url, status in (("", 0), (NOBODY, 1)):
        session = host().doctor("--json", TELEMETRY_PROMETHEUS_URL=url)
        found = json.loads(session.out)
        assert session.status == found["wrong"] == status
        bad = [check for check in found["checks"] if check["result"] == "bad"]
        assert [check["subject"] for check in bad] == ["prometheus"] * status
        assert all(set(check) == {"result", "subject", "text", "remedy"} for check in found["checks"])


def test_a_spool_that_cannot_be_written(host: NewHost, tmp_path: Path) -> None:
    """Said; the run arrives all the same, from memory."""
    (tmp_path / "file").touch()

    session = host().doctor(TELEMETRY_SPOOL_DIR=str(tmp_path / "file" / "spool"))

    assert "cannot be written" in only(session)
    assert "the same in SQL, metrics and trace" in session.out


def test_a_disk_without_room_for_a_run(host: NewHost) -> None:
    """A file can be made there, and a rollup cannot be kept in it."""
    of = host()
    limited = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (500_000,) * 2)"
    run = "import runpy; runpy.run_module('telemetry.doctor', run_name='__main__')"
    session = of.call([str(of.python), "-c", f"{limited}; {run}", "--no-run"], {})

    (line,) = [line for line in session.out.splitlines() if "cannot be written" in line]
    assert "File too large" in line and "TELEMETRY_SPOOL_DIR" in line


def test_what_is_in_the_spool(host: NewHost, tmp_path: Path) -> None:
    """Of the living, the dead, what the database refused, and what is no snapshot."""
    of = host()
    spool = Path(of.environment["TELEMETRY_SPOOL_DIR"])
    settings = Settings(spool_dir=spool, database_url=of.url)
    with recording(settings) as pipeline:  # lives, and its database is away
        root = pipeline.spool.root
        pipeline.spool.put(Fragment().calls(call()).snapshot())
        session = of.doctor("--no-run")
        assert wrong(session) == []
        assert re.search(r"✓ spool +1 snapshots of 1 living processes, the oldest \d s old", session.out)
        (file,) = root.glob("*/*.json")
        os.utime(file, (time.time() - 7200,) * 2)
        line = only(of.doctor("--no-run"))
        assert re.search(r"the oldest 72\d\d s old → see the log of these processes", line)
        park(root, Fragment().close(), "DataError")
        (root / "unreadable").mkdir()
        (root / "unreadable" / "half.json").write_text("{")
        found = wrong(of.doctor("--no-run"))
        assert (
            "1 snapshots are set aside that the database refused (DataError) → flask telemetry spool"
            in found[1]
        )
        assert f"1 files are set aside that are damaged, or not ours: {root}/unreadable" in found[2]


def test_old_prices(host: NewHost, tmp_path: Path) -> None:
    """A price that ended and that none follows is wrong; a file nobody touched for long is worth a word."""
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

    path.write_text(path.read_text() + price("mine-*", today))
    line = only(host().doctor("--no-run", TELEMETRY_PRICES_FILE=str(path)))
    assert f"1 prices in {path} have ended, and none follows: mine-* → add those that hold now" in line


def test_a_price_file_prices_the_run(host: NewHost, tmp_path: Path) -> None:
    """Contract prices are what the run is compared by."""
    path = tmp_path / "prices.toml"
    path.write_text(
        'version = "c"\n[[price]]\nmodel = "gpt-4o-mini"\ninput = 1\ncached_input = 1\noutput = 1\n'
    )

    session = host().doctor(TELEMETRY_PRICES_FILE=str(path))

    assert wrong(session) == []
    assert "2,342 tokens, $0.002342: the same in SQL" in session.out


def test_metrics_without_a_collector(host: NewHost) -> None:
    """Traces go one way, metrics another, which leads nowhere: the trace is exported all the same."""
    with Collector() as collector:
        session = host().doctor(
            OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=f"{collector.url}/v1/traces",
            OTEL_EXPORTER_OTLP_METRICS_ENDPOINT=f"{NOBODY}/v1/metrics",
            **OTLP,
        )

    assert "does not take metrics" in only(session)
    assert "correct OTEL_EXPORTER_OTLP_METRICS_ENDPOINT" in only(session)
    assert "was exported" in lines(session, "trace")[0]


def test_a_sampler_that_drops_all(host: NewHost) -> None:
    """The trace is not exported, which is as it was asked for; all figures are right."""
    with Collector() as collector:
        session = host().doctor(
            OTEL_EXPORTER_OTLP_ENDPOINT=collector.url, OTEL_TRACES_SAMPLER="always_off", **OTLP
        )

    assert wrong(session) == []
    assert "is not exported: always_off drops it" in lines(session, "trace")[0]
    assert "the same in SQL, metrics and trace" in session.out


def test_doctors_side_by_side(host: NewHost) -> None:
    """Several at once, as in a deployment of many processes: each sees its own run, and none stays."""
    healthy = host()
    sessions: list[Session] = []
    doctors = [Thread(target=lambda: sessions.append(healthy.doctor())) for _ in range(3)]
    for doctor in doctors:
        doctor.start()
    for doctor in doctors:
        doctor.join()

    assert [wrong(session) for session in sessions] == [[], [], []]
    assert healthy.rows("telemetry_runs") == []
