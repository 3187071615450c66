"""What a host gets that is pinned to other versions: the same answers, one clear line, and honest counts."""

from __future__ import annotations

import pytest

from examples.screener.standin.client import StandIn
from tests.compatibility.conftest import NewHost, Session
from tests.postgres import TemporaryPostgres

OLD_OPENAI = (
    "telemetry: openai 1.6.1 is older than 1.26.0: its calls are counted by telemetry alone, "
    "and tokens that it cannot see are counted as usage_missing; pip install 'openai>=1.26.0,<4'"
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


def test_openai_before_1(host: NewHost, service: StandIn) -> None:
    """Openai 0.28 has another face altogether; it is counted as well, and named."""
    ancient = host("ancient")
    expected = ancient.serve(TELEMETRY_ENABLED="false").answer
    service.clear()

    session = ancient.serve()

    assert session.answer == expected
    assert len(ours(session)) == 1
    assert ours(session)[0].startswith("telemetry: openai 0.28.1 is older than 1.26.0: ")
    counted(session, service)
    assert session.run()["unpriced"] == 0


FAILING = """
import asyncio, os, openai, telemetry
openai.api_base = os.environ["OPENAI_BASE_URL"]
telemetry.setup_telemetry()

def question(content, **options):
    return dict(model="gpt-4o-mini", messages=[{"role": "user", "content": content}], **options)

async def ask():
    await openai.ChatCompletion.acreate(**question("One."))
    async for _ in await openai.ChatCompletion.acreate(**question("Two.", stream=True)):
        pass
    await openai.ChatCompletion.acreate(**question("limited"))

with telemetry.run("analysis"), telemetry.stage("ranking"):
    for call in (
        lambda: openai.ChatCompletion.create(**question("limited")),
        lambda: openai.ChatCompletion.create(**question("slow", request_timeout=0.3)),
        lambda: asyncio.run(ask()),
    ):
        try:
            call()
        except openai.error.OpenAIError as error:
            print(type(error).__name__)
"""


def test_openai_before_1_when_it_fails(host: NewHost, service: StandIn) -> None:
    """Openai 0.28, sync and async: the host meets its rate limits and timeouts, and we count them."""
    limited = {"match": {"contains": "limited"}, "status": 429, "retry_after_ms": 1500}
    service.faults([limited, {"match": {"contains": "slow"}, "delay_ms": 1000}])
    ancient = host("ancient")
    settings = {"TELEMETRY_DATABASE_URL": ancient.url, "TELEMETRY_HMAC_KEY": "key"}

    session = ancient.call([str(ancient.python), "-c", FAILING], settings)
    service.reset_faults()

    run, attempts = session.run(), service.ledger()["attempts"]
    told = [attempt["usage"]["input_tokens"] for attempt in attempts if attempt["status"] == 200]
    assert session.out.split() == ["RateLimitError", "Timeout", "RateLimitError"]
    assert (run["api_calls"], run["attempts"], run["rate_limit_hits"]) == (5, len(attempts), 2)
    assert run["usage_missing"] == 2, "of the stream, and of the answer that came too late"
    assert run["input_tokens"] in told, "those of the one answer that tells"
    assert sum(row["errors"] for row in ancient.rows("telemetry_stage_usage")) == 3


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
