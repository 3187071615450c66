"""``--notify``: send severe findings to Alertmanager and by Apprise."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

import click

from .errors import needs_sql, one_line_errors
from .listing import count

if TYPE_CHECKING:
    from exporters.findings.finding import Finding
    from telemetry.settings import Settings

NOT_NOTIFIED: Final = 3
"""Exit status if a notification could not be sent."""

notify_option: Final = click.option(
    "--notify",
    is_flag=True,
    help="Send severe findings to TELEMETRY_ALERTMANAGER_URL and TELEMETRY_NOTIFY, each once a day; "
    "exit 3 if that fails.",
)


def send(settings: Settings, findings: Iterable[Finding]) -> str:
    """Send severe findings, and return a summary; exit with a line for each channel that failed."""
    with needs_sql():
        from exporters.findings.notify import notify
    with one_line_errors():
        outcome = notify(settings, findings)
    for problem in outcome.problems:
        click.echo(f"Error: {problem}", err=True)
    if outcome.problems:
        raise SystemExit(NOT_NOTIFIED)
    return f"{count(outcome.sent, 'notification')} sent, {outcome.known:,} sent before."
