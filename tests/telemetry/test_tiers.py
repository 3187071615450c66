"""Each call is priced by the service tier that the answer names."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from openai import OpenAI

import telemetry
from exporters.rollup.merge import Rollup
from telemetry.conventions import GENAI_SCOPE
from telemetry.pricing.prices import Tokens, list_price
from tests.telemetry.conftest import Record
from tests.telemetry.recordings import Recorded

AT = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * 10**9
MODEL = "gpt-5-mini"
STANDARD, FLEX = 1000 * 250_000 + 100 * 2_000_000, 1000 * 125_000 + 100 * 1_000_000


def run_with_one_call(recorded: Recorded, **attributes: str) -> Rollup:
    """Record a run with one call, described as the official instrumentation does."""
    described: dict[str, str | int] = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.response.model": MODEL,
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        **attributes,
    }
    with telemetry.run("analysis"):
        tracer = recorded.provider.get_tracer(GENAI_SCOPE)
        tracer.start_span("chat", start_time=AT, attributes=described).end()
    return recorded.run()


def tiers(run: Rollup) -> set[str]:
    return {key.service_tier for key in run.usage if key.operation}


@pytest.mark.parametrize(
    ("in_request", "in_response", "tier", "pico"),
    [
        ({}, {}, "", STANDARD),
        ({"openai.request.service_tier": "auto"}, {}, "", STANDARD),
        ({}, {"openai.response.service_tier": "flex"}, "flex", FLEX),
        ({"openai.request.service_tier": "flex"}, {}, "flex", FLEX),
        (
            {"openai.request.service_tier": "flex"},
            {"openai.response.service_tier": "default"},
            "default",
            STANDARD,
        ),
    ],
)
def test_the_tier_of_the_answer_is_priced(
    recorded: Recorded, in_request: dict[str, str], in_response: dict[str, str], tier: str, pico: int
) -> None:
    """Where the answer names no tier, the one in the request counts."""
    run = run_with_one_call(recorded, **in_request, **in_response)

    assert (tiers(run), run.total.cost_pico, run.cost_complete) == ({tier}, pico, True)


def test_tier_without_a_price_is_unpriced(recorded: Recorded) -> None:
    """Its cost is unknown: neither zero nor the standard price."""
    run = run_with_one_call(recorded, **{"openai.response.service_tier": "scale"})

    assert (run.total.unpriced, run.total.cost_pico, run.cost_complete) == (1, 0, False)


def test_price_file_of_the_settings_applies(record: Record, tmp_path: Path) -> None:
    """Its rates price the run, which records their source and version."""
    path = tmp_path / "prices.toml"
    path.write_text(f'version = "c1"\n[[price]]\nmodel = "{MODEL}"\ninput = 0.2\noutput = "1"\n')
    run = run_with_one_call(record(prices_file=path))
    (key,) = (key for key in run.usage if key.operation)

    assert (run.total.cost_pico, key.price_version) == (1000 * 200_000 + 100 * 10**6, "c1")
    assert run.usage[key].price_source == "prices-file"


@pytest.mark.parametrize("tier", ["flex", "priority", "default"])
def test_call_through_the_client_is_priced_by_its_tier(recorded: Recorded, client: OpenAI, tier: str) -> None:
    """The cost equals the list price of the tokens in that tier."""
    with telemetry.run("analysis"):
        client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": "Hello"}],
            service_tier=tier,  # type: ignore[call-overload]
        )
    run = recorded.run()
    tokens = Tokens(run.total.input_tokens, run.total.output_tokens, run.total.cached_tokens)
    listed = list_price("openai", MODEL, tokens, run.started_at, tier)

    assert tiers(run) == {tier}
    assert listed is not None and run.total.cost_pico == listed.pico > 0
