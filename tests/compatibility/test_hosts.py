"""Hosts with other versions get the same answers, one clear line, and correct or incomplete counts."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.screener.standin.client import StandIn
from tests.compatibility.conftest import NewHost, Session
from tests.environments import interpreter
from tests.postgres import TemporaryPostgres

OLD_OPENAI = (
    "telemetry: openai 1.6.1 is not supported any more (1.26.0 or newer is): "
    "its calls may be counted in part, or not at all; pip install 'openai>=1.26.0,<4'"
)


SECRET = "Rank this candidate."
"""The prompt of the host."""


def assert_counted(session: Session, service: StandIn) -> None:
    """Check that every call is counted, with all tokens but those of the stream, which are not reported."""
    attempts = service.ledger()["attempts"]
    reported = [attempt["usage"] for attempt in attempts if attempt["usage_reported"]]
    run = session.run()

    assert (run["api_calls"], run["attempts"], len(attempts), len(reported)) == (3, 3, 3, 2)
    assert run["input_tokens"] == sum(usage["input_tokens"] for usage in reported)
    assert run["output_tokens"] == sum(usage["output_tokens"] for usage in reported)
    assert (run["usage_missing"], bool(run["cost_complete"])) == (1, False)


def lines_of_telemetry(session: Session) -> list[str]:
    """Return the lines that telemetry logged."""
    return [line for line in session.err.splitlines() if line.startswith("telemetry")]


@pytest.mark.parametrize(
    ("agent", "driver"), [(False, "psycopg2"), (True, "psycopg")], ids=["in code", "agent"]
)
def test_calls_of_an_unsupported_openai_are_counted(
    agent: bool, driver: str, host: NewHost, service: StandIn, postgres: TemporaryPostgres
) -> None:
    """With openai 1.6.1, SQLAlchemy 2.0 and either driver our own hook counts them; one line warns."""
    old = host("old", postgres.create_database(driver))
    expected = old.serve(TELEMETRY_ENABLED="false").answer
    service.clear()

    session = old.serve(agent=agent)

    assert session.answer == expected
    assert lines_of_telemetry(session) == [OLD_OPENAI]
    assert_counted(session, service)
    assert session.run()["unpriced"] == 0


ONE_CALL = """
import openai, telemetry
telemetry.setup_telemetry()
with telemetry.run("analysis"):
    messages = [{"role": "user", "content": "Rank this candidate."}]
    openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=messages)
"""


def test_oldest_supported_openai_is_counted(host: NewHost, service: StandIn) -> None:
    """With openai 1.26.0 nothing is logged."""
    service.clear()
    oldest = host()
    settings = {"TELEMETRY_DATABASE_URL": oldest.url, "TELEMETRY_HMAC_KEY": "key"}

    session = oldest.call([str(interpreter("openai-1")), "-c", ONE_CALL], settings)

    assert session.err == ""
    run, (attempt,) = session.run(), service.ledger()["attempts"]
    assert (run["api_calls"], run["attempts"], run["usage_missing"]) == (1, 1, 0)
    assert run["input_tokens"] == attempt["usage"]["input_tokens"]


def test_openai_before_1_is_logged(host: NewHost, before_1: Path) -> None:
    """Openai 0.28 has a different API: one line names the required version; runs are recorded."""
    program = 'import telemetry; telemetry.setup_telemetry()\nwith telemetry.run("analysis"): print("done")'
    ancient = host()
    settings = {"TELEMETRY_DATABASE_URL": ancient.url, "TELEMETRY_HMAC_KEY": "key"}

    session = ancient.call([str(ancient.python), "-c", program], settings | {"PYTHONPATH": str(before_1)})

    assert session.out == "done\n"
    assert session.err.splitlines() == [OLD_OPENAI.replace("1.6.1", "0.28.1")]
    assert session.run()["kind"] == "analysis"


def test_newest_versions_are_instrumented(
    host: NewHost, service: StandIn, postgres: TemporaryPostgres
) -> None:
    """With SQLAlchemy 2.1 and psycopg 3 nothing is logged, and statements have spans."""
    newest = host("distro", postgres.create_database("psycopg"))
    expected = newest.serve(TELEMETRY_ENABLED="false").answer
    service.clear()

    session = newest.serve(OTEL_TRACES_EXPORTER="console")

    assert session.answer == expected
    assert session.err == ""
    assert '"name": "SELECT' in session.out
    assert_counted(session, service)


def test_calls_count_without_instrumentations(host: NewHost, service: StandIn) -> None:
    """With the SDK alone our own hook counts calls, unpriced; each missing package is named once."""
    bare = host("uninstrumented")
    expected = bare.serve(TELEMETRY_ENABLED="false").answer
    service.clear()

    session = bare.serve()

    assert session.answer == expected
    assert [line.split(":")[1].strip() for line in session.err.splitlines()] == [
        "opentelemetry-instrumentation-genai-openai is not installed beside openai 3.54.0",
        "genai-prices is not installed beside openai 3.54.0",
        "opentelemetry-instrumentation-flask is not installed beside flask 3.1.3",
        "opentelemetry-instrumentation-sqlalchemy is not installed beside sqlalchemy 2.1.9",
    ]
    assert all("pip install 'analysis-telemetry[" in line for line in session.err.splitlines())
    assert_counted(session, service)
    assert session.run()["unpriced"] == 2, "the calls whose tokens are known"


def test_answers_are_the_same_without_the_sdk(host: NewHost) -> None:
    """With the OpenTelemetry API alone, one line says which extra is missing."""
    bare = host("bare")
    expected = bare.serve(TELEMETRY_ENABLED="false").answer

    session = bare.serve()

    assert session.answer == expected
    assert session.err.splitlines() == [
        "telemetry is off: No module named 'opentelemetry.sdk'; pip install 'analysis-telemetry[sdk]'"
    ]
    assert bare.rows("telemetry_runs") == []


def test_instrumentation_that_the_agent_refuses_is_installed(host: NewHost, service: StandIn) -> None:
    """The agent refuses SQLAlchemy 2.1 because of outdated bounds; telemetry instruments it."""
    session = host("distro").serve(
        agent=True, OTEL_TRACES_EXPORTER="console", OTEL_PYTHON_CONFIGURATOR="analysis_telemetry"
    )

    assert "nothing can be instrumented" in session.err, "else this test checks nothing any more"
    assert lines_of_telemetry(session) == []
    assert session.out.count('"name": "SELECT') == 1
    assert SECRET not in session.out
    assert_counted(session, service)


def test_exports_by_upstreams_configurator_are_reported(host: NewHost, service: StandIn) -> None:
    """Telemetry is attached to upstream's provider; one line says that its exports are not sanitised."""
    session = host("distro").serve(
        agent=True, OTEL_TRACES_EXPORTER="console", OTEL_PYTHON_CONFIGURATOR="configurator"
    )

    assert [line for line in lines_of_telemetry(session) if "not sanitised" in line] == lines_of_telemetry(
        session
    )
    assert len(lines_of_telemetry(session)) == 1
    assert_counted(session, service)


def test_counts_do_not_depend_on_the_configurator(host: NewHost, service: StandIn) -> None:
    """They are right whichever configurator the agent chooses."""
    session = host("distro").serve(agent=True)

    assert session.answer["number"] == 7
    assert_counted(session, service)


def test_hosts_own_provider_is_kept(host: NewHost, service: StandIn) -> None:
    """One line says that its exporters are not sanitised."""
    session = host().serve(HOST_EXPORTS="1")

    assert session.answer["number"] == 7
    assert len(lines_of_telemetry(session)) == 1
    assert "they are not sanitised" in lines_of_telemetry(session)[0]
    assert_counted(session, service)


def test_instrumentations_can_be_disabled(host: NewHost, service: StandIn) -> None:
    """OpenTelemetry's own variable is respected; OpenAI calls are then counted by our own hook."""
    session = host().serve(
        OTEL_TRACES_EXPORTER="console", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="openai, sqlalchemy"
    )

    assert '"name": "SELECT' not in session.out
    assert "opentelemetry.instrumentation.genai.openai" not in session.out
    assert_counted(session, service)
