"""Kinds of columns, and what is common to all our tables.

Money is integer pico-dollars (`…_pico`), durations are integer microseconds (`…_us`), times are naive UTC,
JSON is text. References to host rows (`…_ref`) are soft: no foreign keys, so that telemetry can be written
before the host commits, and never blocks or breaks what the host deletes.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from telemetry import conventions as c

from ..columns import MICROSECONDS, PICO_DOLLARS, SHARE, TOKENS, column, listed

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""Names of constraints and indexes for which none is given."""

RUN_KINDS: Final = f"{listed(c.KINDS)} or one of `TELEMETRY_RUN_KINDS`"
"""All kinds of runs, as a part of a sentence."""

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)
"""The tables of this project, and only those."""


class utc_now(GenericFunction[Any]):
    """The database's clock as naive UTC, whatever the time zone of server and session."""

    type = sa.DateTime()
    inherit_cache = True


@compiles(utc_now)
def _utc_now(element: utc_now, compiler: SQLCompiler, **_: Any) -> str:
    return "timezone('utc', now())" if compiler.dialect.name == "postgresql" else "CURRENT_TIMESTAMP"


def key(name: str, length: int, meaning: str) -> sa.Column[Any]:
    """Return a part of a primary key; '' stands for "none", since NULL would allow duplicate rows."""
    return column(name, sa.String(length), meaning, primary_key=True, server_default=sa.text("''"))


def own_id(name: str, meaning: str) -> sa.Column[Any]:
    """Return the primary key of a row with an id of ours, which is text."""
    return column(name, sa.String(32), meaning, primary_key=True)


def reference(name: str, meaning: str) -> sa.Column[Any]:
    """Return a soft reference to a row of the host."""
    return column(name, sa.BigInteger(), meaning)


def number(name: str, unit: str, meaning: str) -> sa.Column[Any]:
    """Return a whole number, which is NULL if it is unknown."""
    return column(name, sa.BigInteger(), meaning, unit)


def sum_of(name: str, unit: str, meaning: str) -> sa.Column[Any]:
    """Return a large whole number that begins with 0."""
    return column(name, sa.BigInteger(), meaning, unit, nullable=False, server_default=sa.text("0"))


def count(name: str, unit: str, meaning: str) -> sa.Column[Any]:
    """Return a whole number that begins with 0."""
    return column(name, sa.Integer(), meaning, unit, nullable=False, server_default=sa.text("0"))


def flag(name: str, meaning: str) -> sa.Column[Any]:
    """Return a boolean that begins as false."""
    return column(name, sa.Boolean(), meaning, nullable=False, server_default=sa.false())


def moment(name: str, meaning: str) -> sa.Column[Any]:
    """Return a time."""
    return column(name, sa.DateTime(), meaning)


def score(name: str, meaning: str) -> sa.Column[Any]:
    """Return a share of 1."""
    return column(name, sa.Numeric(5, 4, asdecimal=False), meaning, SHARE)


def used() -> list[sa.Column[Any]]:
    """Return the columns of attempts and waits of calls to OpenAI."""
    return [
        sum_of("attempts", "attempts", "HTTP requests to OpenAI, retries included."),
        sum_of("rate_limit_hits", "answers", "Answers 429 because requests came too fast."),
        sum_of("rate_limit_retries", "attempts", "Attempts right after one that met a rate limit."),
        sum_of("other_retries", "attempts", "Attempts after any other failure."),
        sum_of("backoff_us", MICROSECONDS, "Time the client slept between attempts."),
        sum_of("retry_after_us", MICROSECONDS, "Waits that OpenAI asked for; of each call, the longest."),
    ]


def billed() -> list[sa.Column[Any]]:
    """Return the columns of tokens and cost."""
    return [
        sum_of("input_tokens", TOKENS, "Input, the cached ones included."),
        sum_of("output_tokens", TOKENS, "Output, the reasoning ones included."),
        sum_of("cached_tokens", TOKENS, "Of the input, read from the prompt cache."),
        sum_of("cache_write_tokens", TOKENS, "Of the input, written to the prompt cache."),
        sum_of("reasoning_tokens", TOKENS, "Of the output, spent on reasoning."),
        sum_of("cost_pico", PICO_DOLLARS, "What it cost, at the prices of that time."),
        number("repriced_pico", PICO_DOLLARS, "What it costs at the prices of the last `reprice --apply`."),
    ]


def refused() -> list[sa.Column[Any]]:
    """Return the columns of calls that were refused, or whose cost does not follow from tokens."""
    return [
        sum_of("quota_hits", "answers", "Answers 429 because the quota or the credit was used up."),
        sum_of("spend_limit_hits", "answers", "Answers 429 because a spend limit was reached."),
        count(
            "unmodelled", "calls", "Of those unpriced, the ones that cost otherwise than their tokens say."
        ),
    ]
