"""The price file: its rates precede the list, and an error in it is reported with its line."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from telemetry.pricing.prices import Price, Pricer, Tokens, default_pricer, read_price_file
from telemetry.settings import Settings, SettingsError

CONTRACT = """\
version = "contract-2026-10"

[[price]]
model = "gpt-4o-mini*"
provider = "openai"
from = 2026-10-01
until = 2027-01-01
input = 0.12
cached_input = "0.06"
output = 0.48

[[price]]
model = "my-deployment"
input = 1
output = 2

[[price]]
model = "gpt-5-mini"
tier = "flex"
input = 0.1
output = 1
"""


def nanoseconds(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp()) * 10**9


NOW = nanoseconds(2026, 11, 20, 12)


def priced(
    pricer: Pricer,
    model: str,
    *,
    tokens: Tokens | None = None,
    at: int = NOW,
    tier: str = "default",
    provider: str = "openai",
) -> Price | None:
    return pricer(provider, model, tokens or Tokens(1000, 100, 400), at, tier)


def pico(pricer: Pricer, model: str, **call: object) -> int:
    price_of_call = priced(pricer, model, **call)  # type: ignore[arg-type]
    assert price_of_call is not None
    return price_of_call.pico


def source(price_of_call: Price | None) -> str | None:
    return price_of_call.source if price_of_call else None


def write(path: Path, text: str = CONTRACT) -> Path:
    path.write_text(text)
    return path


@pytest.fixture
def contract(tmp_path: Path) -> Pricer:
    return default_pricer(Settings(prices_file=write(tmp_path / "prices.toml")))


def refusal(path: Path) -> str:
    with pytest.raises(SettingsError) as error:
        read_price_file(path)
    return str(error.value)


def test_price_file_precedes_the_list(contract: Pricer) -> None:
    """Models that the file lacks cost the list price; each price names its source."""
    price_of_call = priced(contract, "gpt-4o-mini-2024-07-18")

    assert price_of_call == Price(
        600 * 120_000 + 400 * 60_000 + 100 * 480_000,
        "prices-file",
        "contract-2026-10",
        400 * 60_000,
        100 * 480_000,
    )
    assert source(priced(contract, "gpt-5-mini")) == "genai-prices"


def test_writing_to_the_cache_may_have_its_own_price(tmp_path: Path) -> None:
    """Without one it costs the same as input."""
    text = '[[price]]\nmodel = "gpt-6*"\ninput = 2\ncache_write = "2.2"\noutput = 1\n'
    prices = default_pricer(Settings(prices_file=write(tmp_path / "prices.toml", CONTRACT + text)))
    tokens = Tokens(input=1000, cached=300, cache_write=500)

    assert pico(prices, "gpt-6-sol", tokens=tokens) == 500 * 2 * 10**6 + 500 * 2_200_000
    assert pico(prices, "gpt-4o-mini", tokens=tokens) == 700 * 120_000 + 300 * 60_000


def test_a_private_deployment_has_a_price(contract: Pricer) -> None:
    """It has one with both providers; cached tokens cost the same as input unless the file says otherwise."""
    for provider in ("openai", "azure"):
        assert pico(contract, "my-deployment", provider=provider) == 1000 * 10**6 + 100 * 2 * 10**6


@pytest.mark.parametrize(
    ("at", "expected"),
    [
        (nanoseconds(2026, 9, 30, 23), "genai-prices"),
        (nanoseconds(2026, 10, 1), "prices-file"),
        (nanoseconds(2026, 12, 31, 23), "prices-file"),
        (nanoseconds(2027, 1, 1), "genai-prices"),
    ],
)
def test_price_is_valid_between_its_dates(contract: Pricer, at: int, expected: str) -> None:
    """It is valid from midnight UTC of the first day until midnight UTC of the last, exclusive."""
    assert source(priced(contract, "gpt-4o-mini", at=at)) == expected


def test_price_applies_to_its_tier_and_provider_only(contract: Pricer) -> None:
    """A standard price is not used for flex, nor flex for standard, nor OpenAI's for Azure."""
    assert pico(contract, "gpt-5-mini", tier="flex") == 1000 * 100_000 + 100 * 10**6
    assert source(priced(contract, "gpt-5-mini", tier="auto")) == "genai-prices"
    assert source(priced(contract, "gpt-4o-mini", provider="azure")) == "genai-prices"
    assert priced(contract, "gpt-4o-mini", tier="flex") is None
    assert priced(contract, "my-deployment", tier="priority") is None


def test_first_matching_price_counts(tmp_path: Path) -> None:
    """Special cases are written above general ones."""
    text = '[[price]]\nmodel = "gpt-4o-mini"\ninput = 1\n[[price]]\nmodel = "*"\ninput = 2\n'
    pricer = default_pricer(Settings(prices_file=write(tmp_path / "p.toml", text)))

    assert pico(pricer, "GPT-4o-mini", tokens=Tokens(1)) == 10**6
    assert pico(pricer, "gpt-4o", tokens=Tokens(1)) == 2 * 10**6


def test_output_without_a_price_is_unpriced(contract: Pricer, tmp_path: Path) -> None:
    """What the file's price for a model leaves out is not taken from the list."""
    text = '[[price]]\nmodel = "gpt-4o*"\ninput = 1\n'
    pricer = default_pricer(Settings(prices_file=write(tmp_path / "p.toml", text)))

    assert priced(pricer, "gpt-4o", tokens=Tokens(10, 1)) is None


def test_default_version_follows_from_the_contents(tmp_path: Path) -> None:
    """Rows show which of two files without a version priced them."""
    texts = [f'[[price]]\nmodel = "m"\ninput = {price}\n' for price in (1, 1, 2)]
    one, same, other = (read_price_file(write(tmp_path / "p.toml", text)).version for text in texts)

    assert one == same != other


@settings(deadline=None)
@given(
    price=st.decimals(0, 1000, places=9),
    quote=st.sampled_from(['"', ""]),
    tokens=st.integers(0, 10**9),
)
def test_prices_are_read_exactly(
    tmp_path_factory: pytest.TempPathFactory, price: Decimal, quote: str, tokens: int
) -> None:
    """A price is the decimal in the file, not the nearest float."""
    path = write(
        tmp_path_factory.getbasetemp() / "exact.toml",
        f'[[price]]\nmodel = "m"\ninput = {quote}{price:f}{quote}\n',
    )
    price_of_call = default_pricer(Settings(prices_file=path))("openai", "m", Tokens(tokens), NOW, "")

    assert price_of_call is not None
    assert price_of_call.pico == round(price * 10**6 * tokens)


GOOD = [
    'version = "v"',
    "",
    "[[price]]",
    'model = "a"',
    "input = 1",
    "",
    "[[price]]",
    'model = "b"',
    "input = 1",
]


@pytest.mark.parametrize(
    ("line", "wrong", "problem"),
    [
        (5, "input = -1", "line 5: input must not be negative"),
        (9, 'input = "much"', "line 9: input must be a number"),
        (9, "input = true", "line 9: input must be a number"),
        (9, "input = nan", "line 9: input must be a number"),
        (9, "input = [1]", "line 9: input must be a number"),
        (9, "input = 1e400", "line 9: input must be at most 1000000 dollars"),
        (9, 'input = "1e-4000"', "line 9: input must be at most"),
        (9, "output = 1", "line 7: this price has no input"),
        (8, "", "line 7: this price has no model"),
        (8, 'modell = "b"', "line 8: modell is unknown in a price; allowed are model, provider, tier"),
        (8, 'model = "b"\nform = 2026-10-01', "line 9: form is unknown"),
        (8, 'model = "b"\n"cached" = 1', "line 9: cached is unknown"),
        (8, "model = 4", "line 8: model must be a text in quotes"),
        (
            8,
            'model = "b"\nprovider = "openia"',
            "line 9: provider must be one of openai, openai-regional, azure, other",
        ),
        (8, 'model = "b"\nfrom = "2026-10-01"', "line 9: from must be a date without quotes"),
        (8, 'model = "b"\nfrom = 2026-10-01T00:00:00Z', "line 9: from must be a date"),
        (8, 'model = "b"\nfrom = 2026-13-01', "line 9: not valid TOML"),
        (8, 'model = "b"\nuntil = 2026-10-01\nfrom = 2026-10-01', "line 9: until must be later than from"),
        (1, "version = 7", "line 1: version must be a text in quotes"),
        (1, 'currency = "EUR"', "line 1: currency is unknown here; allowed are version and [[price]]"),
        (2, "[defaults]\ninput = 3", "line 2: defaults is unknown here"),
        (9, "input = ", "line 9: not valid TOML"),
        (9, "input = 1\ninput = 2", "line 10: not valid TOML"),
    ],
)
def test_error_is_reported_with_file_and_line(tmp_path: Path, line: int, wrong: str, problem: str) -> None:
    """A price file with an error is refused, with a message of one line."""
    lines = [*GOOD[: line - 1], wrong, *GOOD[line:]]
    path = write(tmp_path / "prices.toml", "\n".join(lines) + "\n")

    message = refusal(path)

    assert message.startswith(f"{path}, {problem}")
    assert "\n" not in message


def test_a_price_in_single_brackets_is_refused(tmp_path: Path) -> None:
    """The most frequent error has a message of its own."""
    path = write(tmp_path / "p.toml", 'version = "v"\n[price]\nmodel = "a"\ninput = 1\n')

    assert refusal(path).endswith("line 2: a price is written as [[price]], in double brackets")


def test_unreadable_file_is_reported(tmp_path: Path) -> None:
    """It may be missing, a directory, or not text."""
    assert "cannot be read (No such file or directory)" in refusal(tmp_path / "none.toml")
    assert "cannot be read (Is a directory)" in refusal(tmp_path)
    (tmp_path / "latin").write_bytes(b'version = "\xff"')
    assert "is not UTF-8" in refusal(tmp_path / "latin")


def test_unusable_file_makes_calls_unpriced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """List prices are not used instead of unreadable contract prices; one line is logged."""
    path = write(tmp_path / "prices.toml", "[[price]]\ninput = -1\n")
    with caplog.at_level(logging.ERROR, "telemetry"):
        pricer = default_pricer(Settings(prices_file=path))

    assert [record.getMessage() for record in caplog.records] == [
        f"calls are unpriced: TELEMETRY_PRICES_FILE: {path}, line 2: input must not be negative"
    ]
    assert priced(pricer, "gpt-4o-mini") is None


def test_the_setting_is_a_path() -> None:
    """It is read from the environment, where an empty value means none."""
    assert Settings.load({"TELEMETRY_PRICES_FILE": "/etc/prices.toml"}).prices_file == Path(
        "/etc/prices.toml"
    )
    assert Settings.load({"TELEMETRY_PRICES_FILE": ""}).prices_file is None


def test_the_documented_file_can_be_used(tmp_path: Path) -> None:
    """The example in the documentation is a valid price file."""
    documentation = (Path(__file__).parents[2] / "docs" / "how-to" / "prices.md").read_text()
    example = re.search(r"<!-- price file -->\n```toml\n(.*?)```", documentation, re.DOTALL)
    assert example
    pricer = default_pricer(Settings(prices_file=write(tmp_path / "prices.toml", example[1])))

    assert source(priced(pricer, "gpt-4o-mini")) == source(priced(pricer, "my-deployment")) == "prices-file"
