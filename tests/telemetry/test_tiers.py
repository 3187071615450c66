"""Each call costs what its tier costs, as the service billed it."""

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


def answered(recorded: Recorded, **attributes: str) -> Rollup:
    """A run with one call, as the instrumentation describes it."""
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
    ("asked", "answered_with", "tier", "pico"),
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
def test_the_tier_that_was_billed(
    recorded: Recorded, asked: dict[str, str], answered_with: dict[str, str], tier: str, pico: int
) -> None:
    """The answer's tier counts; an answer that does not tell it was of the tier that was asked for."""
    run = answered(recorded, **asked, **answered_with)

    assert (tiers(run), run.total.cost_pico, run.cost_complete) == ({tier}, pico, True)


def test_a_tier_without_a_price_is_counted(recorded: Recorded) -> None:
    """It costs something nobody knows: neither nothing nor the standard price."""
    run = answered(recorded, **{"openai.response.service_tier": "scale"})

    assert (run.total.unpriced, run.total.cost_pico, run.cost_complete) == (1, 0, False)


def test_the_price_file_of_the_settings_counts(record: Record, tmp_path: Path) -> None:
    """Negotiated rates reach the run, with where they come from."""
    path = tmp_path / "prices.toml"
    path.write_text(f'version = "c1"\n[[price]]\nmodel = "{MODEL}"\ninput = 0.2\noutput = "1"\n')
    run = answered(record(prices_file=path))
    (key,) = (key for key in run.usage if key.operation)

    assert (run.total.cost_pico, key.price_version) == (1000 * 200_000 + 100 * 10**6, "c1")
    assert run.usage[key].price_source == "prices-file"


@pytest.mark.parametrize("tier", ["flex", "priority", "default"])
def test_a_real_call_costs_its_tier(recorded: Recorded, client: OpenAI, tier: str) -> None:
    """Through client, instrumentation and service: the cost is that of the tokens in the billed tier."""
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
