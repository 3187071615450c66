"""Draw the dashboards from a year of generated jobs: ``make pictures``.

PostgreSQL and Prometheus answer every query of ``grafana/dashboards``. The page and its data stay in
``build/preview``, for a look in the browser, and the pictures go to ``docs/pictures``.
"""

from __future__ import annotations

import argparse
import shutil
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import psycopg
import sqlalchemy as sa
from rich.console import Console

from examples.screener.demo.steps import Steps
from exporters.alert_rules.dashboards import OVERVIEW
from exporters.sql.schema.roles import role_sql
from grafana.write import FOLDER
from tests.months.backfilled import running
from tests.postgres import TemporaryPostgres

from .pictures import MODES, opened
from .programs import ROOT, bundle, install
from .queries import Sources, answers, dashboards
from .weeks import JOB, store_weeks
from .year import ANALYSES, NOW, Year, store

PICTURES: Final = ROOT / "docs" / "pictures"
PREVIEW: Final = ROOT / "build" / "preview"
WEEKS: Final = ROOT / "build" / "preview-prometheus"
ROLE: Final = "dashboards"
FIRST_ROWS: Final = 778
"""Height of the picture that the README shows: the first rows of the overview."""


def main() -> None:
    """Draw all dashboards, light and dark."""
    parser = argparse.ArgumentParser(prog="python -m tools.preview", description=__doc__)
    parser.add_argument("--again", action="store_true", help="with what Prometheus had the last time")
    given = parser.parse_args()
    console = Console(highlight=False)
    with Steps(console) as steps, ExitStack() as stack:
        with steps.step("packages of the page"):
            packages = install()
        server = stack.enter_context(TemporaryPostgres(durable=False))
        with steps.step(f"{ANALYSES:,} analyses in PostgreSQL"):
            reader_url = _filled(server)
        if not (given.again and WEEKS.exists()):
            shutil.rmtree(WEEKS, ignore_errors=True)
            WEEKS.mkdir(parents=True)
            with steps.step("their last weeks in Prometheus, some minutes"):
                store_weeks(Year(), WEEKS)
        prometheus = stack.enter_context(running(WEEKS))
        reader = stack.enter_context(psycopg.connect(reader_url, autocommit=True))
        with steps.step("answers to all queries"):
            sources = Sources(reader, prometheus.url, JOB)
            found = [answers(dashboard, sources, NOW) for dashboard in dashboards(FOLDER)]
            page = bundle(packages, PREVIEW, found)
        _draw(page, steps)
    console.print(f"Pictures: {PICTURES.relative_to(ROOT)}, the page: {page.relative_to(ROOT)}")


def _filled(server: TemporaryPostgres) -> str:
    """Fill a new database, and return its URL for the role of dashboards."""
    url = server.create_database()
    store(url, Year())
    plain = sa.make_url(url).set(drivername="postgresql")
    with psycopg.connect(plain.render_as_string(hide_password=False), autocommit=True) as connection:
        connection.execute(role_sql(url, ROLE).encode())
    return plain.set(username=ROLE).render_as_string(hide_password=False)


def _draw(page: Path, steps: Steps) -> None:
    PICTURES.mkdir(exist_ok=True)
    uids = [path.stem for path in sorted(FOLDER.glob("*.json"))]
    with opened() as preview, steps.step("pictures", len(uids) * len(MODES)) as report:
        done = 0
        for uid in uids:
            for mode in MODES:
                preview.show(page, uid, mode)
                preview.save(PICTURES / f"{uid}-{mode}.png")
                if uid == OVERVIEW:
                    preview.save(PICTURES / f"first-{mode}.png", FIRST_ROWS)
                done += 1
                report(done)
    if preview.errors:
        raise SystemExit("\n".join(preview.errors))


if __name__ == "__main__":
    main()
