"""``flask telemetry import-history``: import analyses from before telemetry."""

from __future__ import annotations

import click

from ..application import find_database
from ..errors import needs_sql, one_line_errors
from ..listing import count
from ..options import database_option
from ..output import advance


@click.command("import-history")
@database_option
def import_history(database_url: str | None) -> None:
    """Import analyses from before telemetry.

    It can be interrupted and repeated at any time. The exit status is 1 if some are left because the
    application has locked their rows.
    """
    with needs_sql():
        from exporters.upkeep.import_history import History
    with one_line_errors(), History(find_database(database_url)) as history:
        taken = advance("Analyses", history.pending(), history.analyses())
        users = history.users()
        advance("Users", len(users), (history.refresh(user) for user in users))
        left = history.pending()
        left_out = history.left_out()
    analyses = count(taken, "analysis", "analyses")
    click.echo(f"{analyses} imported, {count(len(users), 'user')} brought up to date.")
    for line in left_out:
        click.echo(f"Left out: {line}.", err=True)
    if left:
        raise click.ClickException(f"the application has locked {left} more: repeat the command")
