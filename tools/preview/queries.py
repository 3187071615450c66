"""Ask the queries of dashboards, as Grafana does: SQL in the role for dashboards, PromQL over HTTP."""

from __future__ import annotations

import json
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Final

import psycopg

from grafana.parts.expansion import VARIABLE, Moment, expand

from .frames import Json, of_rows, of_samples, of_series, over_time

WIDTH: Final = 1320
"""Width of the page in pixels, by which Grafana chooses the interval of a query."""
SCRAPES: Final = 15
"""Seconds between two scrapes, as in the data source."""
NICE: Final = (15, 30, 60, 120, 300, 600, 900, 1200, 1800, 3600, 7200, 10800, 21600, 43200, 86400)
"""Intervals to which Grafana rounds."""

Connection = psycopg.Connection[tuple[object, ...]]


@dataclass(frozen=True)
class Sources:
    """The programs that answer."""

    sql: Connection
    """A connection in the role for dashboards."""
    prometheus: str
    """The address of Prometheus."""
    job: str
    """The application, as Prometheus calls it."""


def answers(dashboard: Mapping[str, Any], sources: Sources, now: datetime) -> Json:
    """Return a dashboard with the answers of all its panels, for its own period up to a time.

    The names of the result are those that the page reads: the dashboard itself, the period in milliseconds,
    and the frames by the id of the panel.
    """
    days = _days(dashboard)
    moment = Moment(now - timedelta(days=days), now, _values(dashboard, sources.job))
    frames = {
        str(panel["id"]): [
            frame for target in panel["targets"] for frame in _asked(target, panel, moment, sources)
        ]
        for panel in dashboard["panels"]
    }
    period = {"from": moment.start.timestamp() * 1000, "to": moment.end.timestamp() * 1000}
    return {"dashboard": dashboard, "frames": frames, "period": period}


def dashboards(folder: Path) -> Iterator[dict[str, Any]]:
    """Yield the dashboards of a folder."""
    for path in sorted(folder.glob("*.json")):
        yield json.loads(path.read_text(encoding="utf-8"))


def _days(dashboard: Mapping[str, Any]) -> int:
    begin: str = dashboard["time"]["from"]
    return int(begin.removeprefix("now-").removesuffix("d"))


def _values(dashboard: Mapping[str, Any], job: str) -> dict[str, str]:
    """Return the variables as they are when the dashboard is opened."""
    values = {}
    for variable in dashboard["templating"]["list"]:
        current = variable.get("current", {}).get("value", variable.get("query", ""))
        values[variable["name"]] = current if isinstance(current, str) else ""
    return {**values, "job": job}


def _asked(
    target: Mapping[str, Any], panel: Mapping[str, Any], moment: Moment, sources: Sources
) -> list[Json]:
    if "rawSql" in target:
        return [_sql(target, moment, sources.sql)]
    return _promql(target, panel, moment, sources.prometheus)


def _sql(target: Mapping[str, Any], moment: Moment, connection: Connection) -> Json:
    cursor = connection.execute(expand(target["rawSql"], moment).encode())
    columns = cursor.description or []
    known = connection.adapters.types
    types = [found.name if (found := known.get(column.type_code)) else "text" for column in columns]
    frame = of_rows(target["refId"], [column.name for column in columns], types, cursor.fetchall())
    return over_time(frame) if target["format"] == "time_series" else frame


def _promql(target: Mapping[str, Any], panel: Mapping[str, Any], moment: Moment, address: str) -> list[Json]:
    period = moment.end - moment.start
    step = _step(panel, period)
    own = {
        "__rate_interval": f"{max(step + SCRAPES, 4 * SCRAPES)}s",
        "__interval": f"{step}s",
        "__range": f"{period.total_seconds():.0f}s",
    }
    values = {**moment.values, **own}
    query = VARIABLE.sub(lambda found: values[found[1] or found[3] or found[4]], target["expr"])
    if target.get("instant"):
        given = {"query": query, "time": f"{moment.end.timestamp()}"}
        return of_samples(target["refId"], _get(address, "query", given))
    first = moment.start.timestamp() // step * step
    given = {"query": query, "start": f"{first}", "end": f"{moment.end.timestamp()}", "step": str(step)}
    return of_series(target["refId"], target["legendFormat"], _get(address, "query_range", given), step)


def _step(panel: Mapping[str, Any], period: timedelta) -> int:
    """Return the seconds between two points: about one a pixel."""
    pixels = WIDTH * panel["gridPos"]["w"] / 24
    least = period.total_seconds() / pixels
    return next((each for each in NICE if each >= least), NICE[-1])


def _get(address: str, path: str, parameters: Mapping[str, str]) -> list[dict[str, Any]]:
    url = f"{address}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
    with urllib.request.urlopen(url, timeout=60) as answer:
        found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
    return found
