"""Options that commands share, and the types of their values."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any, Final

import click
from click.core import ParameterSource

LONGEST: Final = 3660
"""Maximum of --days: ten years."""

Command = Callable[..., None]


class Day(click.DateTime):
    """A day from 1970 on: earlier ones are typing errors, and not all time zones can represent them."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the beginning of the day."""
        day: datetime = super().convert(value, param, ctx)
        if day.year < 1970:
            self.fail(f"{value} is before 1970", param, ctx)
        return day


DAY: Final = Day(["%Y-%m-%d"])
ID: Final = click.IntRange(0, 2**63 - 1)
"""An id of a row: what a BIGINT column can hold."""


def _usable_url(context: click.Context, parameter: click.Parameter, url: str | None) -> str | None:
    """Refuse an unusable URL on the command line, and name the option instead of the setting."""
    name = parameter.name or ""
    if not url or context.get_parameter_source(name) is not ParameterSource.COMMANDLINE:
        return url
    from .errors import needs_sql

    with needs_sql():
        from exporters.sql.database.drivers import usable
    try:
        usable(url, parameter.opts[0])
    except ValueError as error:
        raise click.ClickException(str(error)) from None
    return url


database_option: Final = click.option(
    "--database-url",
    envvar="TELEMETRY_DATABASE_URL",
    callback=_usable_url,
    help="Default: the application's own database.",
)


def refuse_empty_model(model: str | None) -> None:
    """Refuse an empty --model, such as from an unset variable in a script."""
    if model is not None and not model.strip():
        raise click.BadParameter("names no model", param_hint="--model")


@dataclass(frozen=True, slots=True)
class Period:
    """The values of --days, --since and --until; None if not given."""

    days: int | None
    since: date | None
    until: date | None
    """The first day after the period."""

    def first(self, today: date, default: int | None = None) -> date | None:
        """Return the first day; None without an option and a default.

        Args:
            today: the current day, in the time zone of the days.
            default: number of days without --days and --since.

        Raises:
            click.BadParameter: if --since is in the future.
        """
        if self.since is not None:
            if self.since > today:
                raise click.BadParameter("is in the future", param_hint="--since")
            return self.since
        days = self.days or default
        return None if days is None else self.last(today) - timedelta(days=days - 1)

    def last(self, today: date) -> date:
        """Return the last day, which is today at the latest."""
        return today if self.until is None else min(self.until - timedelta(days=1), today)


def period_options(default: str, *, required: bool = False) -> Callable[[Command], Command]:
    """Add --days, --since and --until to a command, which gets them as one argument ``period``.

    Args:
        default: the period without --days and --since, for the help.
        required: whether --days or --since must be given.
    """
    days = f"Number of days up to today, or to the day before --until. Default: {default}."
    if required:
        days = "Number of days up to today, or to the day before --until."

    def decorate(command: Command) -> Command:
        @click.option("--days", type=click.IntRange(1, LONGEST), help=days)
        @click.option("--since", type=DAY, help="First day, instead of --days: 2026-10-01.")
        @click.option("--until", type=DAY, help="First day after the period. Default: tomorrow.")
        @functools.wraps(command)
        def with_period(
            *, days: int | None, since: datetime | None, until: datetime | None, **others: object
        ) -> None:
            if days and since:
                raise click.UsageError("--days and --since exclude each other")
            if required and not (days or since):
                raise click.UsageError("give --days or --since")
            if since and until and until <= since:
                raise click.BadParameter(f"must be later than --since, {since:%F}", param_hint="--until")
            command(period=Period(days, since and since.date(), until and until.date()), **others)

        return with_period

    return decorate
