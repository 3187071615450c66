"""List prices: as published, exact to the pico-dollar, and never guessed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, time
from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from typing import Any

import genai_prices
import pytest
from genai_prices.data_snapshot import DataSnapshot, get_snapshot, set_custom_snapshot
from genai_prices.types import (
    ClauseEquals,
    ConditionalPrice,
    ModelInfo,
    ModelPrice,
    Provider,
    TimeOfDateConstraint,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.pricing.prices import Price, Tokens, list_price, to_dollars
from tests.choice import examples

NOW = int(datetime(2026, 11, 20, tzinfo=UTC).timestamp() * 10**9)
DAY = 86_400 * 10**9

# Dollars for a million tokens: input, cached input, output.
PUBLISHED = {
    "gpt-4o-mini": ("0.15", "0.075", "0.60"),
    "gpt-4o-mini-2024-07-18": ("0.15", "0.075", "0.60"),
    "gpt-5-mini": ("0.25", "0.025", "2"),
    "text-embedding-3-small": ("0.02", "0", "0"),
}
CHATTING = [model for model in PUBLISHED if "embedding" not in model]

ALL_MODELS = [
    (
        provider.id,
        f"{model.id}-2024-08-06:acme::1"
        if model.id.startswith("ft:")
        else model.id.replace(".ft-", ".ft-0a1"),
    )
    for provider in get_snapshot().providers
    if provider.id in ("openai", "azure")
    for model in provider.models
]
TOKEN_COUNTS = st.integers(0, 10**6) | st.sampled_from([0, 1, 128_000, 200_000, 272_000, 272_001])
"""They include the thresholds of prices that depend on the length of the input."""


@contextmanager
def listed(model: ModelInfo) -> Iterator[None]:
    """Use a list with `model` alone."""
    provider = Provider(id="openai", name="OpenAI", api_pattern="x", models=[model])
    set_custom_snapshot(DataSnapshot(providers=[provider], from_auto_update=False))
    try:
        yield
    finally:
        set_custom_snapshot(None)


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
    priced = price(*args, **options)
    assert priced is not None
    return priced.pico


@settings(deadline=None)
@given(
    model=st.sampled_from(sorted(PUBLISHED)),
    uncached=st.integers(0, 10**7),
    cached=st.integers(0, 10**7),
    output=st.integers(0, 10**7),
)
def test_calls_cost_the_published_price(model: str, uncached: int, cached: int, output: int) -> None:
    """Cached input is part of the input, and cheaper."""
    if model.startswith("text-embedding"):
        cached = output = 0
    million = Decimal(10) ** 6
    dollars = sum(
        count * Decimal(dollars_a_million) / million
        for count, dollars_a_million in zip((uncached, cached, output), PUBLISHED[model], strict=True)
    )
    tokens = Tokens(input=uncached + cached, output=output, cached=cached, reasoning=output // 2)

    assert to_dollars(pico(model, tokens)) == dollars


@settings(deadline=None, max_examples=examples(50))
@given(model=st.sampled_from(CHATTING), uncached=st.integers(0, 10**6), cached=st.integers(0, 10**6))
def test_the_cache_saves_what_it_would_cost_without(model: str, uncached: int, cached: int) -> None:
    """Each price says what its cached tokens would have cost more."""
    tokens = Tokens(input=uncached + cached, output=7, cached=cached)
    priced = price(model, tokens)

    assert priced is not None
    assert priced.pico + priced.saved_pico == pico(model, tokens._replace(cached=0))
    assert priced.output_pico == priced.pico - pico(model, tokens._replace(output=0))


@settings(deadline=None, max_examples=examples(30))
@given(
    tokens=st.builds(
        lambda input_, output: Tokens(input_, output), st.integers(0, 10**6), st.integers(0, 10**6)
    )
)
def test_price_loses_nothing_of_the_lists_decimals(tokens: Tokens) -> None:
    """Whole pico-dollars hold the list's decimals exactly."""
    usage = genai_prices.Usage(input_tokens=tokens.input, output_tokens=tokens.output)
    listed = genai_prices.calc_price(usage, "o3", provider_id="openai").total_price

    assert isinstance(listed, Decimal)
    assert Decimal(pico("o3", tokens)) == listed * 10**12


def test_money_is_never_a_float() -> None:
    """Pico-dollars are integers, and dollars decimals."""
    assert type(pico()) is int
    assert type(to_dollars(pico())) is Decimal
    assert to_dollars(1) == Decimal("0.000000000001")


def test_price_is_that_of_the_time_of_the_call() -> None:
    """A model that became cheaper costs the old price before that day."""
    before = int(datetime(2025, 6, 9, tzinfo=UTC).timestamp() * 10**9)
    after = int(datetime(2025, 6, 10, tzinfo=UTC).timestamp() * 10**9)

    assert pico("o3", at=before) == (1000 * 10 + 100 * 40) * 10**6
    assert pico("o3", at=after) == (1000 * 2 + 100 * 8) * 10**6


@pytest.mark.parametrize("tier", ["", "default", "auto", "standard"])
def test_standard_tiers_cost_the_list_price(tier: str) -> None:
    """The standard tier has several names."""
    assert pico(tier=tier) == 1000 * 150_000 + 100 * 600_000


def test_other_tiers_have_prices_of_their_own() -> None:
    """Flex is cheaper than standard, and priority more expensive."""
    model = "gpt-5-mini"
    assert pico(model, tier="flex") < pico(model) < pico(model, tier="priority")


def test_batch_is_a_tier() -> None:
    """A call of the Batch API costs the list's price for batches."""
    assert pico("gpt-5-mini", Tokens(1000, 100, 400), tier="batch") == 600 * 125_000 + 400 * 12_500 + 10**8


@pytest.mark.parametrize("tier", ["scale", "something new", "Flex"])
def test_an_unknown_tier_is_unpriced(tier: str) -> None:
    """An unknown tier is not priced as if it were standard."""
    assert price(tier=tier) is None


@pytest.mark.parametrize(
    "unknown",
    [
        {"model": "gpt-4o-mini", "tier": "flex"},
        {"model": "text-embedding-3-small", "tier": "priority", "tokens": Tokens(10)},
        {"model": "gpt-4-0613", "tier": "batch", "at": NOW - 365 * DAY},
        {"model": "gpt-5-mini", "tier": "flex", "at": NOW - 365 * DAY},
        {"model": "gpt-5-mini", "tier": "flex", "provider": "azure"},
    ],
)
def test_a_tier_without_a_price_is_unpriced(unknown: dict[str, Any]) -> None:
    """Where the list lacks the price of a tier, the standard price is not used instead."""
    assert price(**{**unknown, "tier": ""}) is not None
    assert price(**unknown) is None


def test_kind_of_token_without_a_price_is_unpriced() -> None:
    """Output is not free because the list has a price for input only."""
    assert price("text-embedding-3-small", Tokens(10, 0)) is not None
    assert price("text-embedding-3-small", Tokens(10, 1)) is None
    assert price("whisper-1", Tokens(10, 0)) is None


@pytest.mark.parametrize("model", ["gpt-audio", "gpt-4o-transcribe", "gpt-image-1", "gpt-realtime"])
def test_audio_and_images_are_not_priced_as_text(model: str) -> None:
    """A model with different prices for kinds of input is unpriced, as token counts do not say which."""
    assert price(model) is None


def test_writing_to_the_prompt_cache_costs_the_published_price() -> None:
    """Newer models charge more for input they cache; others charge it as ordinary input."""
    tokens = Tokens(input=1000, cached=300, cache_write=500)
    assert pico("gpt-6-sol", tokens) == 200 * 2_000_000 + 300 * 200_000 + 500 * 2_500_000
    assert pico("gpt-5-mini", tokens) == 700 * 250_000 + 300 * 25_000


@settings(deadline=None, max_examples=examples(1000))
@given(
    listed_as=st.sampled_from(ALL_MODELS),
    tier=st.sampled_from(["", "default", "flex", "priority", "fast", "batch", "scale"]),
    tokens=st.builds(Tokens, TOKEN_COUNTS, TOKEN_COUNTS, TOKEN_COUNTS, cache_write=TOKEN_COUNTS),
    at=st.datetimes(datetime(2024, 1, 1), datetime(2027, 1, 1), timezones=st.just(UTC)),
)
def test_cached_rates_equal_the_list(
    listed_as: tuple[str, str], tier: str, tokens: Tokens, at: datetime
) -> None:
    """Every price equals, to the pico-dollar, what the list computes for the same call."""
    provider, model = listed_as
    context = {"": None, "default": None, "batch": {"processing": "batch"}}.get(tier, {"service_tier": tier})
    cached = min(tokens.cached, tokens.input)
    usage = genai_prices.Usage(
        input_tokens=tokens.input,
        cache_read_tokens=cached,
        cache_write_tokens=min(tokens.cache_write, tokens.input - cached),
        output_tokens=tokens.output,
    )
    priced = price(model, tokens, at=int(at.timestamp()) * 10**9, tier=tier, provider=provider)
    standard, tiered = (
        genai_prices.calc_price(
            usage, model, provider_id=provider, genai_request_timestamp=at, price_context=chosen
        )
        for chosen in (None, context)
    )

    prices = tiered.model_price
    named = " ".join(name for name, value in vars(prices).items() if value is not None)
    if priced is None:
        assert (
            re.search("search|audio|image|transcribe|tts|gpt-oss|live|whisper|deep-research", model + named)
            or prices.input_mtok is None
            or (tokens.output and prices.output_mtok is None)
            or (cached and prices.cache_read_mtok is None)
            or (tokens.cache_write and prices.cache_write_mtok is None)
            # Where it has no price for a tier, the list falls back to the standard one.
            or (context is not None and tiered.total_price == standard.total_price)
        )
    elif model.startswith("ft:gpt-4o") and cached:  # the list prices cached input as ordinary input
        assert priced.pico < int(tiered.total_price * 10**12)
    else:
        assert priced.pico == int((tiered.total_price * 10**12).to_integral_value(ROUND_HALF_EVEN))


def test_price_may_depend_on_the_hour() -> None:
    """A price that changes within the day is that of the hour of the call."""
    day, night = ModelPrice(input_mtok=Decimal(2)), ModelPrice(input_mtok=Decimal(1))
    conditions = [
        ConditionalPrice(prices=day),
        ConditionalPrice(TimeOfDateConstraint(time(22), time(6)), prices=night),
    ]
    with listed(ModelInfo(id="owl", match=ClauseEquals(equals="owl"), prices=conditions)):
        by_hour = [pico("owl", Tokens(1), at=NOW - NOW % DAY + hour * DAY // 24) for hour in range(24)]
    assert by_hour == [10**6] * 6 + [2 * 10**6] * 16 + [10**6] * 2


def test_updated_prices_apply_at_once() -> None:
    """When the application updates the list, further calls cost the new price."""
    for dollars in (1, 2):
        model_price = ModelPrice(input_mtok=Decimal(dollars))
        with listed(ModelInfo(id="tiny", match=ClauseEquals(equals="tiny"), prices=model_price)):
            assert pico("tiny", Tokens(1)) == dollars * 10**6


def test_the_hosts_decimal_context_does_not_matter() -> None:
    """Prices are exact in an application that computes with few digits."""
    with localcontext() as context:
        context.prec = 3
        assert pico("gpt-4.1-nano", Tokens(123_457, 7, 11)) == 123_446 * 100_000 + 11 * 25_000 + 7 * 400_000


@pytest.mark.parametrize("model", ["my-deployment", "gpt-99-ultra", "", "openai/gpt-4o-mini"])
def test_an_unknown_model_is_unpriced(model: str) -> None:
    """An unknown model is not free."""
    assert price(model) is None


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-4o-mini-clone", "my-gpt-4o", "gpt-4ox", "gpt-4o-", "gpt-4o-2024-08-06-clone", "xgpt-4o-mini"),
        *("gpt-5-nano-clone", "gpt-5-nano-2025", "gpt-5-nanox", "computer-use-clone", "o4-mini-clone"),
        *("ft:gpt-4o-mini-clone:acme::1", "ft:gpt-4o-2024-clone", "gpt-4o-20240806", "ft:gpt-4o"),
    ],
)
@pytest.mark.parametrize("provider", ["openai", "azure"])
def test_similar_name_of_a_model_is_unpriced(provider: str, model: str) -> None:
    """A model has no price because its name begins or ends like that of another."""
    assert price(model, provider=provider) is None


@pytest.mark.parametrize(
    ("model", "as_priced"),
    [
        ("gpt-4o-mini-2024-07-18", "gpt-4o-mini"),
        ("GPT-4o-Mini", "gpt-4o-mini"),
        ("gpt-5-nano-2025-08-07", "gpt-5-nano"),
        ("computer-use-preview-2025-03-11", "computer-use-preview"),
        ("gpt-6-sol-2026-09-30", "gpt-6-sol"),
        ("ft:gpt-4o-mini-2024-07-18:acme:screening:9abc", "ft:gpt-4o-mini-2024-07-18:acme::1"),
        ("gpt-3.5-turbo-instruct-0914", "gpt-3.5-turbo-instruct"),
    ],
)
def test_snapshots_and_fine_tuned_models_have_the_price_of_their_model(model: str, as_priced: str) -> None:
    """Neither a date at the end nor the owner's part of a fine-tuned model's name changes the price."""
    assert pico(model) == pico(as_priced) > 0


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("ft:gpt-4o-mini-2024-07-18:org::abc", 2_000 * 300_000 + 8_000 * 150_000 + 1_000 * 1_200_000),
        ("ft:gpt-4o-2024-08-06:org::abc", 2_000 * 3_750_000 + 8_000 * 1_875_000 + 1_000 * 15_000_000),
    ],
)
def test_cached_input_of_fine_tuned_models_costs_half(model: str, expected: int) -> None:
    """The list lacks this price; it is from OpenAI's announcement of prompt caching."""
    assert pico(model, Tokens(10_000, 1_000, cached=8_000)) == expected
    assert price(model, Tokens(10_000, 1_000, cached=8_000), tier="batch") is None


@pytest.mark.parametrize("model", ["gpt-4", "gpt-4o-2024-05-13", "o1-pro", "ft:gpt-3.5-turbo-0125:acme::1"])
def test_cached_input_without_a_price_is_unpriced(model: str) -> None:
    """It is not priced as ordinary input."""
    assert price(model, Tokens(1000, 100)) is not None
    assert price(model, Tokens(1000, 100, cached=1)) is None


@pytest.mark.parametrize("provider", ["openai", "azure"])
@pytest.mark.parametrize(
    "model",
    [
        *("gpt-4o-search-preview", "gpt-4o-mini-search-preview-2025-03-11", "gpt-5-search-api"),
        *("o3-deep-research", "o4-mini-deep-research-2025-06-26"),
    ],
)
def test_a_model_that_always_searches_is_unpriced(provider: str, model: str) -> None:
    """Its searches are billed beside its tokens, in every call."""
    assert price(model, provider=provider) is None


@pytest.mark.parametrize(
    "model",
    [
        *("gpt-4o-audio-preview-2025-06-03", "gpt-4o-mini-audio-preview-2024-12-17", "gpt-audio-2025-08-28"),
        *("gpt-4o-realtime-preview", "gpt-4o-mini-transcribe", "gpt-4o-mini-tts", "gpt-5-image"),
    ],
)
def test_models_for_audio_or_images_are_unpriced(model: str) -> None:
    """They are so even where the list has a price for their text."""
    assert price(model) is None


@pytest.mark.parametrize(
    ("input_tokens", "step"), [(272_000, 1), (272_001, 2), (900_000, 2)], ids=["short", "long", "longest"]
)
def test_long_prompts_cost_more(input_tokens: int, step: int) -> None:
    """Above 272,000 tokens of input, all tokens of the call cost more."""
    assert pico("gpt-6-sol", Tokens(input_tokens)) == input_tokens * 2_000_000 * step


@pytest.mark.parametrize(
    ("provider", "model", "is_priced"),
    [
        ("openai", "gpt-6-sol", True),
        ("openai-regional", "gpt-6-sol", False),
        ("openai-regional", "gpt-5.4", False),
        ("openai-regional", "gpt-77", False),
        ("openai-regional", "gpt-5.3-codex", True),
        ("openai-regional", "gpt-5-mini-2025-08-07", True),
        ("openai-regional", "gpt-4o-mini", True),
        ("openai-regional", "text-embedding-3-small", True),
        ("other", "gpt-4o-mini", False),
        ("openai", "gpt-oss-120b", False),
        ("azure", "gpt-oss-120b", False),
    ],
)
def test_price_depends_on_the_provider(provider: str, model: str, is_priced: bool) -> None:
    """Regional endpoints cost more for models since March 2026; prices of other services are unknown."""
    assert (price(model, Tokens(10), provider=provider) is not None) is is_priced


def test_an_unknown_provider_is_unpriced() -> None:
    """A known model of it is unpriced too."""
    assert price(provider="nobody") is None


def test_cached_input_is_at_most_the_input() -> None:
    """A service that reports more is priced as if all input were cached."""
    assert pico(tokens=Tokens(input=10, cached=20)) == 10 * 75_000


def test_call_without_tokens_costs_zero() -> None:
    """It is priced, not unpriced."""
    assert pico(tokens=Tokens()) == 0


def test_price_has_source_and_version() -> None:
    """They name the list, so that prices of different lists can be distinguished."""
    priced = price()
    assert priced is not None
    assert (priced.source, priced.version) == ("genai-prices", genai_prices.__version__)


@pytest.mark.parametrize(("tokens", "rounded"), [(1, 0), (2, 1), (3, 2), (5, 2), (7, 4)])
def test_half_a_pico_dollar_is_rounded_to_even(tokens: int, rounded: int) -> None:
    """Rounding half to even keeps errors from adding up."""
    half_a_pico = ModelPrice(input_mtok=Decimal("0.0000005"))
    with listed(ModelInfo(id="tiny", match=ClauseEquals(equals="tiny"), prices=half_a_pico)):
        assert pico("tiny", Tokens(input=tokens)) == rounded
