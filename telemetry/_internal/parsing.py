"""Parse the text of a setting.

Each function returns the value, or raises a ``ValueError`` that says what it must be.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Final
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from telemetry.conventions import KIND, RESERVED_KINDS

_MOST_KINDS: Final = 20
"""Limit of the kinds that an application may add: each one adds 20 time series to a metric of runs."""


def text(value: str) -> str:
    """Return the text."""
    return value


def boolean(value: str) -> bool:
    """Return True for true, yes, on or 1, and False for false, no, off, 0 or nothing."""
    word = value.strip().lower()
    if word in {"1", "true", "yes", "on"}:
        return True
    if word in {"0", "false", "no", "off", ""}:
        return False
    raise ValueError("must be true or false")


def seconds(minimum: float, maximum: float) -> Callable[[str], float]:
    """Return a parser of seconds."""

    def parse(value: str) -> float:
        try:
            number = float(value)
        except ValueError:
            raise ValueError("must be a number of seconds") from None
        if not minimum <= number <= maximum:
            raise ValueError(f"must be between {minimum:g} and {maximum:g} seconds")
        return number

    return parse


def factor(value: str) -> float:
    """Return a factor of at least 1."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError("must be a number") from None
    if not 1 <= number <= 1000:
        raise ValueError("must be between 1 and 1000")
    return number


def dollars(value: str) -> float:
    """Return an amount of US dollars; 0 is none."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError("must be an amount of US dollars such as 12.50") from None
    if not 0 <= number <= 1_000_000_000:
        raise ValueError("must be between 0 and 1000000000 US dollars")
    return number


def share(value: str) -> float:
    """Return a share between 0 and 1, both excluded."""
    try:
        number = float(value)
    except ValueError:
        raise ValueError("must be a share such as 0.8") from None
    if not 0 < number < 1:
        raise ValueError("must be more than 0 and less than 1")
    return number


_JOB: Final = re.compile(r"(?! )[^\"'\\]{1,127}(?<! )")
"""Without what would have to be escaped in PromQL: Grafana escapes it differently from version to version."""


def job(value: str) -> str:
    """Return the name of a service, as the label ``job`` of Prometheus has it."""
    if not _JOB.fullmatch(value) or "{{" in value or not value.isprintable():  # {{: a template, in rules
        raise ValueError("must be a name of at most 127 characters, without \" ' \\ and {{")
    return value


_UID: Final = re.compile(r"[A-Za-z0-9_-]{1,40}")


def uid(value: str) -> str:
    """Return the uid of something in Grafana."""
    if not _UID.fullmatch(value):
        raise ValueError("must be a uid of at most 40 letters, digits and _ -")
    return value


def traces_type(value: str) -> str:
    """Return the type of a data source in Grafana that shows traces."""
    if value not in ("jaeger", "tempo"):
        raise ValueError("must be jaeger or tempo")
    return value


def whole(minimum: int, maximum: int) -> Callable[[str], int]:
    """Return a parser of whole numbers."""

    def parse(value: str) -> int:
        try:
            number = int(value)
        except ValueError:
            raise ValueError("must be a whole number") from None
        if not minimum <= number <= maximum:
            raise ValueError(f"must be between {minimum} and {maximum}")
        return number

    return parse


def names(value: str) -> tuple[str, ...]:
    """Return names that are separated by commas."""
    separated = tuple(name.strip() for name in value.split(",") if name.strip())
    for name in separated:
        if len(name) > 64:
            raise ValueError(f"contains a name of over 64 characters ({name[:20]}…)")
    return separated


_TARGET: Final = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]{1,253}):[0-9]{1,5}")


def targets(value: str) -> tuple[str, ...]:
    """Return hosts with ports that are separated by commas, as a configuration of Prometheus has them."""
    separated = tuple(target.strip() for target in value.split(",") if target.strip())
    if not all(_TARGET.fullmatch(target) for target in separated):
        raise ValueError("must be hosts with ports such as alertmanager:9093, separated by commas")
    return separated


def kinds(value: str) -> tuple[str, ...]:
    """Return names of kinds of runs."""
    declared = names(value)
    for name in declared:
        if not KIND.fullmatch(name):
            raise ValueError(f"contains {name[:40]!r}; a kind is snake_case, of at most 20 characters")
        if name in RESERVED_KINDS:
            raise ValueError(f"contains {name!r}, which telemetry uses itself; take another name")
    if len(set(declared)) > _MOST_KINDS:
        raise ValueError(f"contains more than {_MOST_KINDS} kinds")
    return tuple(dict.fromkeys(declared))


def time_zone(value: str) -> str:
    """Return the name of a time zone."""
    try:
        ZoneInfo(value)
    except (ZoneInfoNotFoundError, ValueError, IsADirectoryError):
        raise ValueError("must be a time zone such as UTC or Europe/Berlin") from None
    return value


_HTTP_URL: Final = re.compile(
    r"https?://([^/?#@\s]+@)?(\[[0-9A-Fa-f:.]+\]|[^/?#@:\s\[\]]+)(:[0-9]{1,5})?(/[^?#@\s]*)?"
)
"""Stricter than the standard, so that a part of a password is never taken for the host."""


def link(value: str) -> str:
    """Return what the links of alerts begin with; Prometheus would read `{{` as a template."""
    if re.search(r"\s|\{\{", value) or not value.isprintable():
        raise ValueError("must be an address or a path, without spaces, control characters and {{")
    return value


def http_link(value: str) -> str:
    """Return an HTTP URL that links of alerts begin with, or an empty string."""
    return link(http_url(value))


def http_url(value: str) -> str:
    """Return an HTTP URL, or an empty string."""
    if value and not _HTTP_URL.fullmatch(value):
        raise ValueError("must be an address such as http://localhost:9090 (in a password, / is %2F)")
    return value


def notification_urls(value: str) -> tuple[str, ...]:
    """Split where the next scheme begins: a comma may also be part of an address."""
    urls = tuple(url for url in re.split(r"[\s,]+(?=[A-Za-z][A-Za-z0-9]*://)", value.strip()) if url)
    if not all(re.match(r"[A-Za-z][A-Za-z0-9]*://", url) for url in urls):
        raise ValueError("must be addresses as Apprise knows them, such as mailto://…, separated by commas")
    return urls


def path(value: str) -> Path | None:
    """Return a path; None for an empty string."""
    return Path(value) if value else None
