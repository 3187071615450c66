"""The rows of the tables beside what panels show of them."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import psycopg

from grafana.parts.expansion import Moment, expand
from tests.grafana.dashboards import ALL, sql_targets

Row = dict[str, Any]
DAYS = 100
"""So few that panels show days, not weeks."""


class Tables:
    """The rows of the tables that began in the last 100 days."""

    def __init__(self, owner: psycopg.Connection[Row], reader: psycopg.Connection[tuple[Any, ...]]) -> None:
        self._owner, self._reader = owner, reader
        self.moment = Moment.last(DAYS, ALL)
        self.start, self.end = (time.replace(tzinfo=None) for time in (self.moment.start, self.moment.end))
        self.all_runs = self.rows("telemetry_runs")
        self.runs = [run for run in self.all_runs if self.start <= run["started_at"] <= self.end]
        self.jobs = [run for run in self.runs if run["kind"] == "analysis"]
        self.by_id = {run["run_id"]: run for run in self.runs}

    def rows(self, table: str) -> list[Row]:
        return self._owner.execute(f"SELECT * FROM {table}".encode()).fetchall()

    def parts(self, table: str) -> list[Row]:
        """Return the rows of these runs, with their run as ``run``."""
        found = [row for row in self.rows(table) if row["run_id"] in self.by_id]
        return [{**row, "run": self.by_id[row["run_id"]]} for row in found]

    def shown(self, uid: str, title: str, days: int = DAYS, **chosen: str) -> list[tuple[Any, ...]]:
        """Return what a panel shows."""
        (target,) = [each for each in sql_targets() if (each.uid, each.panel["title"]) == (uid, title)]
        moment = Moment(
            self.moment.end - timedelta(days=days), self.moment.end, {**self.moment.values, **chosen}
        )
        return self._reader.execute(expand(target.sql, moment).encode()).fetchall()
