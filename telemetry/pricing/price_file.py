"""The operator's price file: negotiated rates, and models that are in no public list.

TOML; numbers are read as exact decimals::

    version = "contract-2026-10"

    [[price]]
    model = "gpt-4o-mini*"   # a glob over the names of models and deployments
    provider = "openai"      # openai, openai-regional, azure or other; default: any
    tier = "flex"            # default: the standard ones; batch is the Batch API
    from = 2026-10-01        # default: always
    until = 2027-01-01       # first day on which it no longer applies; default: never
    input = 0.12             # dollars for a million tokens, as a number or in quotes
    cached_input = 0.06      # default: as input
    cache_write = 0.15       # default: as input
    output = 0.48            # default: none; a call with output is then unpriced

The first price that matches a call applies.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from datetime import date, datetime
from decimal import Decimal, InvalidOperation
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Final

from telemetry.settings import SettingsError

from .provider import PROVIDERS
from .rates import PerMillion, Rates

SOURCE: Final = "prices-file"
HIGHEST: Final = 10**6
"""Highest accepted price, in dollars per million tokens; a higher one is considered a mistake."""
DECIMALS: Final = 18
_VERSION_LENGTH: Final = 64


def _key(parse: Callable[[Any], Any], **options: Any) -> Any:
    return field(metadata={"parse": parse}, **options)


def _text(value: Any) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError('must be a text in quotes, such as "gpt-4o-mini*"')
    return value.strip().lower()


def _provider(value: Any) -> str:
    if value not in PROVIDERS:
        raise ValueError(f"must be one of {', '.join(PROVIDERS)}")
    return str(value)


def _tier(value: Any) -> str:
    tier = _text(value)
    return "" if tier in {"default", "auto", "standard"} else tier


def _day(value: Any) -> date:
    if not isinstance(value, date) or isinstance(value, datetime):
        raise ValueError("must be a date without quotes, such as 2026-10-01")
    return value


def _dollars(value: Any) -> Decimal:
    try:
        number = Decimal(value) if isinstance(value, int | str | Decimal) and value is not True else None
    except InvalidOperation:
        number = None
    if number is None or isinstance(value, bool) or not number.is_finite():
        raise ValueError("must be a number: dollars for a million tokens")
    if number < 0:
        raise ValueError("must not be negative")
    if number > HIGHEST or int(number.as_tuple().exponent) < -DECIMALS:
        raise ValueError(f"must be at most {HIGHEST} dollars for a million tokens, with {DECIMALS} decimals")
    return number


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePrice:
    """One ``[[price]]`` of the file."""

    model: str = _key(_text)
    provider: str | None = _key(_provider, default=None)
    tier: str = _key(_tier, default="")
    from_: date = _key(_day, default=date.min)
    until: date = _key(_day, default=date.max)
    input: Decimal = _key(_dollars)
    cached_input: Decimal | None = _key(_dollars, default=None)
    cache_write: Decimal | None = _key(_dollars, default=None)
    output: Decimal | None = _key(_dollars, default=None)

    @property
    def of(self) -> tuple[str, str | None, str]:
        """Model pattern, provider and tier that this price applies to."""
        return self.model, self.provider, self.tier

    def fits(self, provider: str, model: str, tier: str, day: date) -> bool:
        """Return whether this price applies to such a call."""
        return (
            self.tier == tier
            and self.provider in (None, provider)
            and self.from_ <= day < self.until
            and fnmatchcase(model.lower(), self.model)
        )

    def per_million(self) -> PerMillion:
        """Return the price with defaults filled in."""
        cached, written = (
            self.input if price is None else price for price in (self.cached_input, self.cache_write)
        )
        return PerMillion(self.input, cached, written, self.output)


_KEYS: Final = {entry.name.rstrip("_"): entry for entry in fields(FilePrice)}
_REQUIRED: Final = ("model", "input")


@dataclass(frozen=True, slots=True)
class PriceFile:
    """The content of a price file."""

    version: str
    prices: tuple[FilePrice, ...]

    def ended(self, day: date) -> list[FilePrice]:
        """Return prices that ended by ``day`` and have no successor for the same model, provider and tier."""
        current = {price.of for price in self.prices if price.until > day}
        return [price for price in self.prices if price.until <= day and price.of not in current]

    def rates(self, provider: str, model: str, tier: str, day: date) -> Rates | None:
        """Return the rates of the first matching price, or None; ``tier`` is empty for the standard tier."""
        for price in self.prices:
            if price.fits(provider, model, tier, day):
                return Rates.of(SOURCE, self.version, {-1: price.per_million()})
        return None


def read_price_file(path: Path) -> PriceFile:
    """Read the price file at ``path``.

    Raises:
        SettingsError: if it cannot be read or is invalid; one line that names the file, the line and the key.
    """
    try:
        content = path.read_bytes()
        return _Reader(path, content.decode()).read()
    except OSError as error:
        raise SettingsError(f"{path} cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise SettingsError(f"{path} is not UTF-8 text") from None


class _Reader:
    """Parses one file and names the line of an error."""

    def __init__(self, path: Path, text: str) -> None:
        self._path = path
        self._text = text
        self._lines = text.splitlines()

    def read(self) -> PriceFile:
        data = self._parse()
        version = data.pop("version", None)
        entries = data.pop("price", [])
        for name in data:
            raise self._error(self._line(name), f"{name} is unknown here; allowed are version and [[price]]")
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self._error(self._line("price"), "a price is written as [[price]], in double brackets")
        return PriceFile(self._version(version), tuple(map(self._price, range(len(entries)), entries)))

    def _parse(self) -> dict[str, Any]:
        try:
            return tomllib.loads(self._text, parse_float=Decimal)
        except tomllib.TOMLDecodeError as error:
            match = re.search(r"^(.*) \(at line (\d+), column \d+\)$", str(error))
            problem, line = (match[1], int(match[2])) if match else (str(error), len(self._lines))
            raise self._error(line, f"not valid TOML: {problem}") from None
        except InvalidOperation:
            raise self._error(1, "contains an invalid number") from None

    def _version(self, version: Any) -> str:
        if version is None:
            return hashlib.sha256(self._text.encode()).hexdigest()[:12]
        if not isinstance(version, str) or not 0 < len(version) <= _VERSION_LENGTH:
            problem = f"version must be a text in quotes of at most {_VERSION_LENGTH} characters"
            raise self._error(self._line("version"), problem)
        return version

    def _price(self, index: int, entry: Mapping[str, Any]) -> FilePrice:
        values = {}
        for name, value in entry.items():
            if name not in _KEYS:
                problem = f"{name} is unknown in a price; allowed are {', '.join(_KEYS)}"
                raise self._error(self._line(name, index), problem)
            try:
                values[_KEYS[name].name] = _KEYS[name].metadata["parse"](value)
            except ValueError as error:
                raise self._error(self._line(name, index), f"{name} {error}") from None
        for name in _REQUIRED:
            if name not in entry:
                raise self._error(self._line(None, index), f"this price has no {name}")
        price = FilePrice(**values)
        if price.until <= price.from_:
            raise self._error(self._line("until", index), "until must be later than from")
        return price

    def _line(self, key: str | None, index: int | None = None) -> int:
        """Return the line of ``key`` in the ``index``-th price (None: at the top), else the block's first."""
        headers = [n for n, line in enumerate(self._lines, 1) if re.match(r"\s*\[\[\s*price\s*]]", line)]
        if index is None:
            first, last = 1, len(self._lines)
        elif index >= len(headers):  # prices in one line: price = [{…}]
            return self._line("price")
        else:
            first, last = headers[index], (*headers, len(self._lines) + 1)[index + 1] - 1
        if key is not None:
            wanted = re.compile(rf"""\s*\[*\s*["']?{re.escape(key)}["']?\s*[=.\]]""")
            for number in range(first, last + 1):
                if wanted.match(self._lines[number - 1]):
                    return number
        return first

    def _error(self, line: int, problem: str) -> SettingsError:
        return SettingsError(f"{self._path}, line {line}: {problem}")
