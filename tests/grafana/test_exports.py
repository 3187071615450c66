"""The links of a dashboard download what it shows."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator
from functools import wraps
from pathlib import Path
from typing import Any

import flask
import psycopg
import pytest

import telemetry
from grafana.parts.expansion import VARIABLE, Moment, expand
from telemetry.web.extension import Telemetry
from tests.grafana.conftest import Database
from tests.grafana.dashboards import ALL, dashboards, each_dashboard, has_filters, sql_targets


def for_everyone(view: Callable[..., Any]) -> Callable[..., Any]:
    return wraps(view)(lambda *given, **named: view(*given, **named))


@pytest.fixture
def client(filled: Database, tmp_path: Path) -> Iterator[Any]:
    """An application with the same database."""
    app = flask.Flask("host")
    app.config.update(
        SECRET_KEY="k",
        TELEMETRY_DATABASE_URL=filled.url,
        TELEMETRY_SPOOL_DIR=tmp_path / "spool",
        TELEMETRY_GAUGES_SECONDS=0,
    )
    Telemetry(app, admin_required=for_everyone)
    yield app.test_client()
    telemetry.shutdown()


def address(link: str, moment: Moment) -> str:
    """Return the address that Grafana opens."""
    known = {**moment.values, "app_url": "", "__from": str(int(moment.start.timestamp() * 1000))}
    known["__to"] = str(int(moment.end.timestamp() * 1000))
    return VARIABLE.sub(lambda found: known[found[1]], link)


@pytest.mark.parametrize(
    "chosen",
    [
        {"segment": "power"},
        {"batch_size": "large"},
        {"user": "1"},
        {"model": "gpt-4o-mini", "segment": "active"},
        {"model": "none", "segment": "power"},
    ],
)
@pytest.mark.parametrize("form", ["csv", "json"])
def test_a_download_has_the_jobs_of_the_dashboard(
    client: Any, reader: psycopg.Connection[Any], form: str, chosen: dict[str, str]
) -> None:
    """D33: as many, for the same money, to the pico-dollar."""
    moment = Moment.last(90, {**ALL, **chosen})
    (link,) = [
        each["url"]
        for each in dashboards()["analysis-cost.json"]["links"]
        if each["title"] == f"Export {form.upper()}"
    ]
    answer = client.get(address(link, moment))
    assert answer.status_code == 200, answer.text
    rows = answer.json if form == "json" else list(csv.DictReader(io.StringIO(answer.text)))

    shown = {}
    for uid, title in (("analysis-overview", "Totals"), ("analysis-cost", "API cost")):
        (target,) = [each for each in sql_targets() if each.uid == uid and each.panel["title"] == title]
        (shown[title],) = reader.execute(expand(target.sql, moment).encode()).fetchall()
    assert len(rows) == shown["Totals"][0]
    assert sum(int(row["cost_pico"] or 0) for row in rows) == (shown["API cost"][0] or 0) * 10**12


def test_every_dashboard_with_filters_has_the_same_links() -> None:
    links = {
        tuple(link["url"] for link in each["links"] if link["title"].startswith("Export"))
        for each in each_dashboard()
        if has_filters(each)
    }
    assert len(links) == 1
