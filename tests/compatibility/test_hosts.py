"""What a host gets that is pinned to other versions: the same answers, one clear line, and honest counts."""

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


def counted(session: Session, service: StandIn) -> None:
    """Every call of the host is counted, with all tokens but those of the stream, which nobody told."""
    attempts = service.ledger()["attempts"]
    told = [attempt["usage"] for attempt in attempts if attempt["usage_reported"]]
    run = session.run()

    assert (run["api_calls"], run["attempts"], len(attempts), len(told)) == (3, 3, 3, 2)
    assert run["input_tokens"] == sum(usage["input_tokens"] for usage in told)
    assert run["output_tokens"] == sum(usage["output_tokens"] for usage in told)
    assert (run["usage_missing"], bool(run["cost_complete"])) == (1, False)


def ours(session: Session) -> list[str]:
    """What telemetry said."""
    return [line for line in session.err.splitlines() if line.startswith("telemetry")]


@pytest.mark.parametrize(
    ("agent", "driver"), [(False, "psycopg2"), (True, "psycopg")], ids=["in code", "agent"]
)
def test_openai_below_the_bound(
    agent: bool, driver: str, host: NewHost, service: StandIn, postgres: TemporaryPostgres
) -> None:
    """Openai 1.6.1, SQLAlchemy 2.0, either driver: our own hook counts what the instrumentation cannot."""
    old = host("old", postgres.create_database(driver))
    expected = old.serve(TELEMETRY_ENABLED="false").answer
    service.clear()

    session = old.serve(agent=agent)

    assert session.answer == expected
    assert ours(session) == [OLD_OPENAI]
    counted(session, service)
    assert session.run()["unpriced"] == 0


ONE_CALL = """
import openai, telemetry
telemetry.setup_telemetry()
with telemetry.run("analysis"):
    messages = [{"role": "user", "content": "Rank this candidate."}]
    openai.OpenAI().chat.completions.create(model="gpt-4o-mini", messages=messages)
"""


def test_the_oldest_openai_that_is_supported(host: NewHost, service: StandIn) -> None:
    """Openai 1.26.0: nothing is said, and its calls are counted."""
    service.clear()
    oldest = host()
    settings = {"TELEMETRY_DATABASE_URL": oldest.url, "TELEMETRY_HMAC_KEY": "key"}

    session = oldest.call([str(interpreter("openai-1")), "-c", ONE_CALL], settings)

    assert session.err == ""
    run, (attempt,) = session.run(), service.ledger()["attempts"]
    assert (run["api_calls"], run["attempts"], run["usage_missing"]) == (1, 1, 0)
    assert run["input_tokens"] == attempt["usage"]["input_tokens"]


def test_openai_before_1(host: NewHost, before_1: Path) -> None:
    """Openai 0.28 has another face altogether: a line names the version needed; all else goes on."""
    program = 'import telemetry; telemetry.setup_telemetry()\nwith telemetry.run("analysis"): print("done")'
    ancient = host()
    settings = {"TELEMETRY_DATABASE_URL": ancient.url, "TELEMETRY_HMAC_KEY": "key"}

    session = ancient.call([str(ancient.python), "-c", program], settings | {"PYTHONPATH": str(before_1)})

    assert session.out == "done\n"
    assert session.err.splitlines() == [OLD_OPENAI.replace("1.6.1", "0.28.1")]
    assert session.run()["kind"] == "analysis"


def test_the_newest_of_everything(host: NewHost, service: StandIn, postgres: TemporaryPostgres) -> None:
    """SQLAlchemy 2.1 and psycopg 3: nothing to complain about, and statements are seen."""
    newest = host("distro", postgres.create_database("psycopg"))
    expected = newest.serve(TELEMETRY_ENABLED="false").answer
    service.clear()

    session = newest.serve(OTEL_TRACES_EXPORTER="console")

    assert session.answer == expected
    assert session.err == ""
    assert '"name": "SELECT' in session.out
    counted(session, service)


def test_without_instrumentations(host: NewHost, service: StandIn) -> None:
    """The SDK alone: each missing package is named once, calls are counted by our own hook, and unpriced."""
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
    counted(session, service)
    assert session.run()["unpriced"] == 2, "the calls whose tokens are known"


def test_without_the_sdk(host: NewHost) -> None:
    """The OpenTelemetry API alone: the same answers, and one line that says which extra is missing."""
    bare = host("bare")
    expected = bare.serve(TELEMETRY_ENABLED="false").answer

    session = bare.serve()

    assert session.answer == expected
    assert session.err.splitlines() == [
        "telemetry is off: No module named 'opentelemetry.sdk'; pip install 'analysis-telemetry[sdk]'"
    ]
    assert bare.rows("telemetry_runs") == []


def test_a_refused_instrumentation_is_made_good(host: NewHost, service: StandIn) -> None:
    """The agent refuses SQLAlchemy 2.1, for bounds that lag behind; we instrument it all the same."""
    session = host("distro").serve(
        agent=True, OTEL_TRACES_EXPORTER="console", OTEL_PYTHON_CONFIGURATOR="analysis_telemetry"
    )

    assert "nothing can be instrumented" in session.err, "if not, this test is no longer about anything"
    assert ours(session) == []
    assert session.out.count('"name": "SELECT') == 1
    assert SECRET not in session.out
    counted(session, service)


def test_the_agent_configured_by_upstreams_distribution(host: NewHost, service: StandIn) -> None:
    """Upstream sets the provider up: we join it, and say once that what it exports is not sanitised."""
    session = host("distro").serve(
        agent=True, OTEL_TRACES_EXPORTER="console", OTEL_PYTHON_CONFIGURATOR="configurator"
    )

    assert [line for line in ours(session) if "not sanitised" in line] == ours(session)
    assert len(ours(session)) == 1
    counted(session, service)


def test_the_agent_beside_upstreams_distribution(host: NewHost, service: StandIn) -> None:
    """Whichever configurator the agent happens to take, the counts are right."""
    session = host("distro").serve(agent=True)

    assert session.answer["number"] == 7
    counted(session, service)


def test_a_provider_of_the_hosts(host: NewHost, service: StandIn) -> None:
    """A provider that is there stays; its exporters are not ours, which is said once."""
    session = host().serve(HOST_EXPORTS="1")

    assert session.answer["number"] == 7
    assert len(ours(session)) == 1
    assert "they are not sanitised" in ours(session)[0]
    counted(session, service)


def test_an_instrumentation_can_be_switched_off(host: NewHost, service: StandIn) -> None:
    """OpenTelemetry's own switch is the operator's word; OpenAI calls are counted by our own hook then."""
    session = host().serve(
        OTEL_TRACES_EXPORTER="console", OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="openai, sqlalchemy"
    )

    assert '"name": "SELECT' not in session.out
    assert "opentelemetry.instrumentation.genai.openai" not in session.out
    counted(session, service)
