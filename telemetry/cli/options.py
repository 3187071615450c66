"""Types of the commands' options."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Final

import click


class Day(click.DateTime):
    """A day that is no slip of the pen: before 1970, calendars and time zones run out of numbers."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> datetime:
        """Return the beginning of the day."""
        found: datetime = super().convert(value, param, ctx)
        if found.year < 1970:
            self.fail(f"{value} is before 1970", param, ctx)
        return found


DAY: Final = Day(["%Y-%m-%d"])
ID: Final = click.IntRange(0, 2**63 - 1)
"""What a column of type BIGINT holds."""

database_option: Final = click.option(
    "--database-url", envvar="TELEMETRY_DATABASE_URL", help="Default: the application's own database."
)
