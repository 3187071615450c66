"""The group of commands ``flask telemetry``, which imports a command when it is called.

Flask imports this module on every ``flask`` command, so it needs only click, and refers to the commands by
strings. Their short help is listed with them, so that ``flask telemetry --help`` imports none of them.
"""

from __future__ import annotations

import codecs
import importlib
import io
import os
import sys
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any, Final

import click

from telemetry._internal.process.interrupt import ends_at_once
from telemetry._internal.process.standard_output import own_output
from telemetry._internal.urls.secrets import without_secrets

from .output import discard_rest


@dataclass(frozen=True, slots=True)
class LazyCommand:
    """A command that is imported when it is called."""

    place: str
    """Module of this package and name in the module: ``reports:report``."""
    help: str
    """First sentence of the help of the command."""

    def load(self) -> click.Command:
        """Import and return the command."""
        module, name = self.place.split(":")
        command = getattr(importlib.import_module(f"{__package__}.commands.{module}"), name)
        assert isinstance(command, click.Command)
        return command


SECTIONS: Final[dict[str, dict[str, LazyCommand]]] = {
    "Daily use": {
        "report": LazyCommand("reports:report", "Show spending, jobs, users and failures."),
        "insights": LazyCommand("reports:insights", "Show findings in recent figures, and what to do."),
        "doctor": LazyCommand("doctor:doctor", "Check what works, what does not, and what to do."),
    },
    "Money": {
        "reprice": LazyCommand("reprice:reprice", "Price recorded calls again, at current prices."),
    },
    "Data": {
        "export": LazyCommand("export:export", "Write the jobs as CSV, JSON, JSON lines or Parquet."),
        "import-history": LazyCommand(
            "import_history:import_history", "Import analyses from before telemetry."
        ),
        "archive": LazyCommand("archive:archive", "Move old runs and days of the log to files."),
        "erase": LazyCommand("upkeep:erase", "Erase the rows of one user or one analysis."),
        "catalogue": LazyCommand("reference:catalogue", "Write the reference page of metrics and columns."),
        "unused": LazyCommand("reference:unused", "List metrics and columns that nothing uses."),
    },
    "Operations": {
        "health-check": LazyCommand(
            "upkeep:health_check", "Write a row a day to system_health_log, and clean up."
        ),
        "validate": LazyCommand("upkeep:validate", "Check that the tables are consistent."),
        "spool": LazyCommand("spool:spool", "Snapshots that wait for the database on this machine."),
        "assets": LazyCommand("assets:assets", "Write dashboards, alert rules and configurations."),
    },
    "Database": {
        "db": LazyCommand("database:db", "Tables and columns of telemetry in the database."),
    },
}
"""All commands by section, in the order of ``flask telemetry --help``."""


class LazyGroup(click.Group):
    """A group that imports its commands when they are called, and handles errors of the output.

    Standard output may be an old terminal, a pipe without a reader, or a file on a full disk.
    """

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return [name for commands in SECTIONS.values() for name in commands]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import and return a command; None if it does not exist."""
        for commands in SECTIONS.values():
            if cmd_name in commands:
                return commands[cmd_name].load()
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that is called; for an unknown name, suggest a similar one."""
        known = self.list_commands(ctx)
        if args[0] not in known and (similar := get_close_matches(args[0], known)):
            ctx.fail(f"No such command {args[0]!r}. Did you mean {similar[0]!r}?")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the sections with the short help of their commands, without importing these."""
        width = max(map(len, self.list_commands(ctx)))
        for title, commands in SECTIONS.items():
            with formatter.section(title):
                formatter.write_dl([(name.ljust(width), command.help) for name, command in commands.items()])

    def invoke(self, ctx: click.Context) -> Any:
        """Call a command; a broken pipe is left to click, which ends silently."""
        from telemetry.setup import process as setup

        if os.environ.get("NO_COLOR"):
            ctx.color = False
        with own_output(), setup.for_operator():
            if (
                isinstance(sys.stdout, io.TextIOWrapper)
                and codecs.lookup(sys.stdout.encoding).name != "utf-8"
            ):
                sys.stdout.reconfigure(errors="replace")
            try:
                with ends_at_once():
                    return super().invoke(ctx)
            except click.ClickException as error:
                error.message = without_secrets(error.message)  # type: ignore[misc]
                raise
            except BrokenPipeError:
                raise
            except OSError as error:
                raise click.ClickException(f"the output cannot be written: {error}") from None
            except ImportError as error:  # a driver, or an extra
                from telemetry.setup.missing import remedy

                raise click.ClickException(f"{error}{remedy(error)}") from None
            finally:
                discard_rest()


@click.group("telemetry", cls=LazyGroup)
def cli() -> None:
    """Observability of this application's analyses."""
