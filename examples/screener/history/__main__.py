"""Years of analyses in a minute: ``python -m examples.screener.history --database-url URL --analyses 10000``.

The same seed gives the same history: users who come one after another and come back, weekdays and holidays,
growth, batches of every size, days on which the provider is in trouble, failed jobs whose row was rolled
back. The database must have the tables of the screener and of telemetry. What it has already, it keeps; a
history is written once.
"""

from __future__ import annotations

import argparse
import os
from datetime import UTC, datetime

import sqlalchemy as sa
from rich.console import Console

from examples.screener.demo.steps import Steps

from .history import History
from .pace import USUAL, Pace
from .writing import is_there, write


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.screener.history", description=__doc__)
    parser.add_argument(
        "--database-url", default=os.environ.get("SCREENER_DATABASE_URL"), help="of PostgreSQL"
    )
    parser.add_argument("--days", type=int, default=USUAL.days, help="until yesterday; default: %(default)d")
    parser.add_argument("--analyses", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--documents-days", type=int, default=0, help="with documents, of so many last days")
    given = parser.parse_args()
    if not given.database_url:
        parser.error("name the database with --database-url or SCREENER_DATABASE_URL")
    engine = sa.create_engine(given.database_url, poolclass=sa.NullPool)
    if is_there(engine):
        print("The database has a history.")
        return
    history = History(
        given.analyses,
        datetime.now(UTC).date(),
        given.seed,
        Pace(days=given.days),
        documents_days=given.documents_days,
    )
    with Steps(Console(highlight=False)) as steps:
        with steps.step(f"{given.analyses:,} analyses", given.analyses) as report:
            write(engine, history, report)


if __name__ == "__main__":
    main()
