"""Each way to set up leads to the same rollup: in code, by the agent, by Flask, on the host's provider."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import sqlalchemy as sa

from examples.screener.standin.client import StandIn
from exporters.sql.schema import migrate
from tests import fresh

PROGRAM = """
import telemetry
from openai import OpenAI

{setup}
with telemetry.run("analysis", candidates=1) as run:
    with telemetry.stage("ranking"):
        question = [{{"role": "user", "content": "a secret question"}}]
        OpenAI().chat.completions.create(model="gpt-4o-mini", messages=question)
"""
IN_CODE = "telemetry.setup_telemetry()"
WITH_A_PROVIDER_OF_THE_HOST = """
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, ConsoleSpanExporter
provider = TracerProvider()
provider.add_span_processor(BatchSpanProcessor(ConsoleSpanExporter()))
trace.set_tracer_provider(provider)
telemetry.setup_telemetry()
"""
FOREIGN = """
import logging
logging.basicConfig(format="%(levelname)s %(message)s")
import telemetry
from opentelemetry import metrics, trace

class Provider(trace.TracerProvider):
    def get_tracer(self, *names, **more):
        return trace.NoOpTracer()

trace.set_tracer_provider(Provider())
before = metrics.get_meter_provider()
assert telemetry.setup_telemetry() is None
assert metrics.get_meter_provider() is before
with telemetry.run("analysis") as run:
    print(run.run_id)
"""


AGENT = Path(sys.executable).with_name("opentelemetry-instrument")


@pytest.fixture
def environment(sqlite_url: str, tmp_path: Path) -> dict[str, str]:
    migrate.upgrade(sqlite_url, with_base_tables=True)
    return os.environ | {
        "OPENAI_API_KEY": "any",
        "TELEMETRY_DATABASE_URL": sqlite_url,
        "TELEMETRY_SPOOL_DIR": str(tmp_path / "spool"),
        "TELEMETRY_HMAC_KEY": "key",
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
        "OTEL_LOGS_EXPORTER": "none",
    }


def run(
    program: str, environment: dict[str, str], *, agent: bool = False
) -> subprocess.CompletedProcess[str]:
    command = [str(AGENT), sys.executable, "-c", program]
    with StandIn() as standin:
        variables = environment | {"OPENAI_BASE_URL": standin.url}
        if agent:
            done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=300)
        else:
            done = fresh.run("-c", program, env=variables, cwd=Path.cwd())
    assert done.returncode == 0, done.stderr
    return done


def rows(url: str) -> list[tuple[object, ...]]:
    query = "SELECT kind, status, api_calls, attempts, trace_sampled FROM telemetry_runs"
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        return [tuple(row) for row in connection.execute(sa.text(query))]


def test_set_up_in_code(environment: dict[str, str]) -> None:
    """`setup_telemetry()` creates and configures everything."""
    done = run(PROGRAM.format(setup=IN_CODE), environment)

    assert rows(environment["TELEMETRY_DATABASE_URL"]) == [("analysis", "completed", 1, 1, True)]
    assert done.stderr == ""


@pytest.mark.parametrize("sampler", ["always_on", "always_off"])
def test_set_up_by_the_agent(environment: dict[str, str], sampler: str) -> None:
    """`opentelemetry-instrument` needs no code, and its sampler changes no total."""
    done = run(PROGRAM.format(setup=""), environment | {"OTEL_TRACES_SAMPLER": sampler}, agent=True)

    sampled = sampler == "always_on"
    assert rows(environment["TELEMETRY_DATABASE_URL"]) == [("analysis", "completed", 1, 1, sampled)]
    assert "already instrumented" not in done.stderr


def test_the_agent_exports_sanitised_spans(environment: dict[str, str]) -> None:
    """With our configurator, spans are exported through the sanitiser, and no warning is logged."""
    done = run(PROGRAM.format(setup=""), environment | {"OTEL_TRACES_EXPORTER": "console"}, agent=True)

    assert '"analysis.run.kind": "analysis"' in done.stdout
    assert "a secret question" not in done.stdout
    assert "not sanitised" not in done.stderr


def test_the_hosts_own_provider_is_kept(environment: dict[str, str]) -> None:
    """Telemetry is attached to it; one warning says that its own exporters are not sanitised."""
    done = run(PROGRAM.format(setup=WITH_A_PROVIDER_OF_THE_HOST), environment)

    assert rows(environment["TELEMETRY_DATABASE_URL"]) == [("analysis", "completed", 1, 1, True)]
    assert done.stderr.count("they are not sanitised") == 1
    assert '"analysis.stage": "ranking"' in done.stdout


@pytest.mark.parametrize(
    "asked_for",
    [{"TELEMETRY_METRICS_PORT": "0"}, {"OTEL_METRICS_EXPORTER": "console"}, {}],
    ids=["a listener", "an exporter", "no metrics"],
)
def test_a_host_without_meter_provider_is_told(
    environment: dict[str, str], asked_for: dict[str, str]
) -> None:
    """Its tracer provider is used, so metrics have nowhere to go; one line says so if they are asked for."""
    done = run(PROGRAM.format(setup=WITH_A_PROVIDER_OF_THE_HOST), environment | asked_for)

    assert rows(environment["TELEMETRY_DATABASE_URL"]) == [("analysis", "completed", 1, 1, True)]
    assert done.stderr.count("telemetry has no metrics") == (1 if asked_for else 0)


WITH_A_METER_PROVIDER_OF_THE_HOST = """
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
counter = metrics.get_meter("host").create_counter("gen_ai.client.own")
telemetry.setup_telemetry()
counter.add(1, {"team": "hiring"})
(resource,) = reader.get_metrics_data().resource_metrics
for scope in resource.scope_metrics:
    for metric in scope.metrics:
        if scope.scope.name == "host":
            print([dict(point.attributes) for point in metric.data.data_points])
"""


def test_the_hosts_own_meter_provider_is_left_as_it_is(environment: dict[str, str]) -> None:
    """Telemetry adds its metrics; labels of the host's own are not removed."""
    done = run(PROGRAM.format(setup=WITH_A_METER_PROVIDER_OF_THE_HOST), environment)

    assert done.stdout == "[{'team': 'hiring'}]\n"


RESOURCE = """
from opentelemetry import trace
telemetry.setup_telemetry()
print(trace.get_tracer_provider().resource.to_json(indent=None))
"""


def test_processes_of_one_container_are_instances(environment: dict[str, str]) -> None:
    """An instance id that is set for all of them is ignored, in one line; other attributes are kept."""
    given = {"OTEL_RESOURCE_ATTRIBUTES": "service.version=2.1, service.instance.id=pod-7,host.name=h"}
    both = [run(PROGRAM.format(setup=RESOURCE), environment | given) for _ in range(2)]
    resources = [json.loads(done.stdout)["attributes"] for done in both]

    assert [one["service.version"] for one in resources] == ["2.1", "2.1"]
    assert [one["host.name"] for one in resources] == ["h", "h"]
    assert len({one["service.instance.id"] for one in resources} - {"pod-7"}) == 2
    assert all(
        done.stderr.count("service.instance.id in OTEL_RESOURCE_ATTRIBUTES is ignored") == 1 for done in both
    )


SET_UP_THREE_TIMES = """
import telemetry
from openai import OpenAI
from opentelemetry import metrics
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

reader = InMemoryMetricReader()
metrics.set_meter_provider(MeterProvider([reader]))
question = [{"role": "user", "content": "a question"}]
for _ in range(3):
    telemetry.setup_telemetry()
    with telemetry.run("analysis", candidates=1), telemetry.stage("ranking"):
        OpenAI().chat.completions.create(model="gpt-4o-mini", messages=question)
    telemetry.shutdown()
(resource,) = reader.get_metrics_data().resource_metrics
for scope in resource.scope_metrics:
    for metric in scope.metrics:
        points = metric.data.data_points
        if metric.name in ("analysis.openai.operations", "analysis.openai.tokens", "analysis.runs.active"):
            print(metric.name, sum(point.value for point in points))
        if metric.name == "analysis.run.duration":
            print(metric.name, sum(point.count for point in points))
"""


def test_set_up_again_after_shutdown(environment: dict[str, str]) -> None:
    """Each call counts once, and the metrics continue from where they were."""
    done = run(SET_UP_THREE_TIMES, environment)

    url = environment["TELEMETRY_DATABASE_URL"]
    assert rows(url) == [("analysis", "completed", 1, 1, True)] * 3
    with sa.create_engine(url, poolclass=sa.NullPool).connect() as connection:
        tokens = connection.scalar(sa.text("SELECT SUM(input_tokens + output_tokens) FROM telemetry_runs"))
    figures = dict(line.split() for line in done.stdout.splitlines())
    assert figures == {
        "analysis.openai.operations": "3",
        "analysis.openai.tokens": f"{tokens}",
        "analysis.runs.active": "0",
        "analysis.run.duration": "3",
    }


FLASK = """
from flask import Flask
from flask_sqlalchemy import SQLAlchemy
import os, sqlalchemy

app = Flask("host")
app.config.update(SECRET_KEY="secret", SQLALCHEMY_DATABASE_URI=os.environ["HOST_DATABASE"])
db = SQLAlchemy(app)
telemetry.Telemetry(app)

@app.get("/pages/<int:number>")
def page(number):
    with telemetry.run("analysis", candidates=1), telemetry.stage("ranking"):
        db.session.execute(sqlalchemy.text("SELECT 1"))
    return "done"

app.test_client().get("/pages/1?name=somebody")
"""


def test_set_up_by_the_flask_extension(environment: dict[str, str]) -> None:
    """One line takes database and key from the application; a trace holds request, run, stage and query."""
    url = environment.pop("TELEMETRY_DATABASE_URL")
    variables = environment | {"HOST_DATABASE": url, "OTEL_TRACES_EXPORTER": "console"}
    del variables["TELEMETRY_HMAC_KEY"]

    done = run(PROGRAM.format(setup=FLASK), variables)

    assert rows(url) == [("analysis", "completed", 0, 0, True), ("analysis", "completed", 1, 1, True)]
    names = re.findall(r'^    "name": "(.*)"', done.stdout, re.MULTILINE)
    assert {"GET /pages/<int:number>", "analysis", "ranking"} <= set(names)
    assert any(name.startswith("SELECT") for name in names)
    assert "telemetry_" not in done.stdout, "the writer's own statements are no part of any trace"
    assert "somebody" not in done.stdout


FLOODED = """
client = app.test_client()
for number in range(20):
    client.get("/pages/1", headers={"Host": f"host{number}.example"})
    client.get(f"/missing/{number}", headers={"Host": f"host{number}.example"})
    client.open("/pages/1", method=f"METHOD{number}")
"""


def test_clients_cannot_make_series(environment: dict[str, str]) -> None:
    """Hosts, paths and methods that they invent are no labels of the metrics of requests."""
    variables = environment | {
        "HOST_DATABASE": environment["TELEMETRY_DATABASE_URL"],
        "OTEL_METRICS_EXPORTER": "console",
        "OTEL_METRIC_EXPORT_INTERVAL": "3600000",
    }

    done = run(PROGRAM.format(setup=FLASK + FLOODED), variables)

    exported = json.loads(done.stdout)
    points = {
        metric["name"]: [point["attributes"] for point in metric["data"]["data_points"]]
        for resource in exported["resource_metrics"]
        for scope in resource["scope_metrics"]
        for metric in scope["metrics"]
    }
    durations = {(one["http.method"], one["http.status_code"]) for one in points["http.server.duration"]}
    assert durations == {("GET", 200), ("GET", 404), ("_OTHER", 405)}
    assert len(points["http.server.duration"]) == len(durations)
    assert len(points["http.server.active_requests"]) == 2
    assert "host0.example" not in str(points)


def test_a_wrong_setting_switches_telemetry_off(environment: dict[str, str]) -> None:
    """The application runs; one line names the setting and what it must be."""
    done = run(PROGRAM.format(setup=IN_CODE), environment | {"TELEMETRY_METRICS_PORT": "abc"})

    assert done.stderr.splitlines() == [
        "telemetry is off: TELEMETRY_METRICS_PORT='abc' must be a whole number"
    ]
    assert rows(environment["TELEMETRY_DATABASE_URL"]) == []


def test_a_provider_of_another_sdk_is_refused(environment: dict[str, str]) -> None:
    """In one line that names it; nothing is configured beside it, and the application goes on."""
    done = run(FOREIGN, environment)

    assert done.stdout == "None\n"
    assert done.stderr == (
        "ERROR telemetry is off: the tracer provider of this process is __main__.Provider, not one of the"
        " OpenTelemetry SDK; set telemetry up before it, or remove it\n"
    )
