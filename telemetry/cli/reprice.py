"""``flask telemetry reprice``: recorded calls, priced again."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from telemetry.pricing.provider import PROVIDERS

from .application import find_database, load_settings
from .errors import needs_sql, unusable
from .options import DAY, database_option


@click.command()
@click.option("--since", type=DAY, required=True, help="First day (UTC) on which the runs began: 2026-10-01.")
@click.option("--until", type=DAY, help="The first day they did not begin on any more. Default: no end.")
@click.option("--model", default="*", show_default=True, help="Which models, as a glob.")
@click.option("--provider", type=click.Choice(PROVIDERS), default="openai", show_default=True)
@click.option("--prices-file", type=click.Path(), help="Default: TELEMETRY_PRICES_FILE.")
@click.option("--apply", is_flag=True, help="Write the new prices. Default: only show what would change.")
@database_option
def reprice(
    since: datetime,
    until: datetime | None,
    model: str,
    provider: str,
    prices_file: str | None,
    apply: bool,
    database_url: str | None,
) -> None:
    """Price recorded calls again, at prices that are new.

    The old value is kept. Exit 1 if the price file or the database cannot be used.
    """
    with needs_sql():
        from exporters.upkeep.reprice import reprice as price_again
    from sqlalchemy.exc import SQLAlchemyError

    from telemetry.pricing.prices import prices
    from telemetry.settings import SettingsError

    if until and until <= since:
        raise click.BadParameter("must be later than --since", param_hint="--until")
    try:
        settings = load_settings()
        url = find_database(database_url or settings.database_url)
        report = price_again(
            url,
            prices(Path(prices_file) if prices_file else settings.prices_file),
            apply=apply,
            # The key belongs to the application's own database.
            hmac_key=settings.hmac_key if url == settings.database_url else "",
            since=since.date(),
            until=until and until.date(),
            model=model,
            provider=provider,
        )
    except SettingsError as error:
        raise click.ClickException(str(error)) from None
    except SQLAlchemyError as error:
        raise unusable(error) from None
    for line in report.lines():
        click.echo(line)
