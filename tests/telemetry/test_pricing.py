"""Prices: those of the published list, exact to the pico-dollar, and never a guess."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import DataSnapshot, set_custom_snapshot
from genai_prices.types import ClauseEquals, ModelInfo, ModelPrice, Provider
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.pricing import Price, Tokens, list_price, to_dollars

NOW = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp() * 10**9)

# Dollars for a million tokens: input, cached input, output.
PUBLISHED = {
    "gpt-4o-mini": ("0.15", "0.075", "0.60"),
    "gpt-4o-mini-2024-07-18": ("0.15", "0.075", "0.60"),
    "gpt-5-mini": ("0.25", "0.025", "2"),
    "text-embedding-3-small": ("0.02", "0", "0"),
}


def price(
    model: str = "gpt-4o-mini",
    tokens: Tokens | None = None,
    *,
    at: int = NOW,
    tier: str = "default",
    provider: str = "openai",
) -> Price | None:
    return list_price(provider, model, tokens or Tokens(1000, 100), at, tier)


def pico(*args: Any, **options: Any) -> int:
    found = price(*args, **options)
    assert found is not None
    return found.pico


@settings(deadline=None)
@given(
    model=st.sampled_from(sorted(PUBLISHED)),
    uncached=st.integers(0, 10**7),
    cached=st.integers(0, 10**7),
    output=st.integers(0, 10**7),
)
def test_the_published_price(model: str, uncached: int, cached: int, output: int) -> None:
    """A call costs its tokens at the published prices; cached input is cheaper, and part of the input."""
    if model.startswith("text-embedding"):
        cached = output = 0
    million = Decimal(10) ** 6
    dollars = sum(
        count * Decimal(each) / million
        for count, each in zip((uncached, cached, output), PUBLISHED[model], strict=True)
    )
    tokens = Tokens(input=uncached + cached, output=output, cached=cached, reasoning=output // 2)

    assert to_dollars(pico(model, tokens)) == dollars


@settings(deadline=None, max_examples=30)
@given(tokens=st.builds(Tokens, st.integers(0, 10**6), st.integers(0, 10**6)))
def test_pico_is_what_the_list_says(tokens: Tokens) -> None:
    """Nothing is lost on the way from the list's decimals to whole pico-dollars."""
    usage = genai_prices.Usage(input_tokens=tokens.input, output_tokens=tokens.output)
    listed = genai_prices.calc_price(usage, "o3", provider_id="openai").total_price

    assert isinstance(listed, Decimal)
    assert Decimal(pico("o3", tokens)) == listed * 10**12


def test_money_is_whole_numbers() -> None:
    """Pico-dollars are integers, dollars decimals: no float in between."""
    assert type(pico()) is int
    assert type(to_dollars(pico())) is Decimal
    assert to_dollars(1) == Decimal("0.000000000001")


def test_the_price_is_that_of_the_calls_own_time() -> None:
    """A model that became cheaper costs the old price before that day."""
    before = int(datetime(2025, 6, 9, tzinfo=UTC).timestamp() * 10**9)
    after = int(datetime(2025, 6, 10, tzinfo=UTC).timestamp() * 10**9)

    assert pico("o3", at=before) == (1000 * 10 + 100 * 40) * 10**6
    assert pico("o3", at=after) == (1000 * 2 + 100 * 8) * 10**6


@pytest.mark.parametrize("tier", ["", "default", "auto", "standard"])
def test_standard_tiers_cost_the_list_price(tier: str) -> None:
    """Whatever the service calls its standard tier costs the same."""
    assert pico(tier=tier) == 1000 * 150_000 + 100 * 600_000


def test_other_tiers_have_prices_of_their_own() -> None:
    """Flex is cheaper than standard, priority dearer."""
    model = "gpt-5-mini"
    assert pico(model, tier="flex") < pico(model) < pico(model, tier="priority")


@pytest.mark.parametrize("tier", ["batch", "scale", "something new"])
def test_an_unknown_tier_is_unpriced(tier: str) -> None:
    """A tier nobody knows is not charged as if it were standard."""
    assert price(tier=tier) is None


@pytest.mark.parametrize("model", ["my-deployment", "gpt-99-ultra", "", "openai/gpt-4o-mini"])
def test_an_unknown_model_is_unpriced(model: str) -> None:
    """A model nobody knows is unpriced, not free."""
    assert price(model) is None


def test_an_unknown_provider_is_unpriced() -> None:
    """So is a model of a provider nobody knows."""
    assert price(provider="nobody") is None


def test_more_cached_than_input_is_cut() -> None:
    """A service that reports more cached than input tokens does not make the price fail."""
    assert pico(tokens=Tokens(input=10, cached=20)) == 10 * 75_000


def test_no_tokens_cost_nothing() -> None:
    """A call that used nothing is priced: at zero."""
    assert pico(tokens=Tokens()) == 0


def test_source_and_version_are_told() -> None:
    """A price says which list it is from, so that it can be told apart from a later one."""
    found = price()
    assert found is not None
    assert (found.source, found.version) == ("genai-prices", genai_prices.__version__)


@pytest.mark.parametrize(("tokens", "rounded"), [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4)])
def test_halves_go_to_the_even_pico(tokens: int, rounded: int) -> None:
    """A price that ends in half a pico-dollar is rounded half-even, so that rounding does not add up."""
    half_a_pico = ModelPrice(input_mtok=Decimal("0.0000005"))
    model = ModelInfo(id="tiny", match=ClauseEquals(equals="tiny"), prices=half_a_pico)
    provider = Provider(id="openai", name="OpenAI", api_pattern="x", models=[model])
    set_custom_snapshot(DataSnapshot(providers=[provider], from_auto_update=False))
    try:
        assert pico("tiny", Tokens(input=tokens)) == rounded
    finally:
        set_custom_snapshot(None)
