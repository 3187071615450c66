"""``flask telemetry reprice``: price recorded calls again."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from telemetry.pricing.provider import PROVIDERS

from ..application import find_database, load_settings
from ..errors import needs_sql, one_line_errors
from ..options import Period, database_option, period_options, refuse_empty_model


@click.command()
@period_options("", required=True)
@click.option("--model", default="*", show_default=True, help="Models to reprice, as a glob.")
@click.option("--provider", type=click.Choice(PROVIDERS), default="openai", show_default=True)
@click.option("--prices-file", type=click.Path(), help="Default: TELEMETRY_PRICES_FILE.")
@click.option("--apply", is_flag=True, help="Write the new prices. Default: only show what would change.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@database_option
def reprice(
    period: Period,
    model: str,
    provider: str,
    prices_file: str | None,
    apply: bool,
    as_json: bool,
    database_url: str | None,
) -> None:
    """Price recorded calls again, at current prices.

    This includes the calls of runs that began in the period, in UTC. The old values are kept. The exit status
    is 1 if the price file or the database cannot be used.
    """
    refuse_empty_model(model)
    with needs_sql():
        from exporters.upkeep.reprice import reprice as price_again
    from telemetry.pricing.prices import prices

    first = period.first(datetime.now(UTC).date())
    assert first is not None
    settings = load_settings()
    url = find_database(database_url or settings.database_url)
    with one_line_errors():
        report = price_again(
            url,
            prices(Path(prices_file) if prices_file else settings.prices_file),
            apply=apply,
            # Another database has documents hashed with another key.
            hmac_key=settings.hmac_key if url == settings.database_url else "",
            since=first,
            until=period.until,
            model=model,
            provider=provider,
        )
    if as_json:
        click.echo(report.to_json())
        return
    for line in report.lines():
        click.echo(line)
