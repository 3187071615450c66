"""Units and transformations are Grafana's own: its code knows them, and makes of them what is meant."""

from __future__ import annotations

from typing import Any

import psycopg
import pytest

from grafana.parts import panels as parts
from grafana.parts.expansion import Moment, expand
from tests.grafana.dashboards import ALL, Json, Target, panels, sql_targets
from tests.grafana.typescript import ask

FORMATTED = [
    ((parts.DOLLARS, 2, 1234.5), "$1.23K"),
    ((parts.SHARE, 1, 0.425), "42.5%"),
    ((parts.SECONDS, 1, 90), "1.5 mins"),
    ((parts.BYTES, 0, 2_000_000), "2 MB"),
    ((parts.COUNT, 0, 12_000), "12 K"),
    (("none", 0, 12_000), "12000"),
    (("cps", 0, 3), "3 c/s"),
    (("reqps", 0, 3), "3 req/s"),
]
"""A value in each unit, and how a reader sees it."""


def test_units_are_those_of_grafana() -> None:
    """D10: also those of single columns, and those that a heatmap shows."""
    known = ask([], [])["units"]
    used = {value for _, panel in panels() for value in _units(panel)}
    assert used <= {*known} and used == {unit for (unit, *_), _ in FORMATTED}


def _units(panel: Json) -> list[str]:
    properties = [each for rule in panel["fieldConfig"]["overrides"] for each in rule["properties"]]
    found = [each["value"] for each in properties if each["id"] == "unit"]
    cells = panel["options"].get("cellValues", {}).get("unit")
    return [panel["fieldConfig"]["defaults"]["unit"], *found, *([cells] if cells else [])]


def test_units_show_what_is_meant() -> None:
    """D10: shares are of one, sizes decimal, times in seconds."""
    assert ask([question for question, _ in FORMATTED], [])["formatted"] == [text for _, text in FORMATTED]


def test_transformations_exist() -> None:
    """D37: Grafana ignores those that do not."""
    known = ask([], [])["transformations"]
    used = {step["id"] for _, panel in panels() for step in panel.get("transformations", ())}
    assert used == {"groupingToMatrix", "sortBy"} and used <= {*known}


TURNED = [target for target in sql_targets() if target.panel.get("transformations")]


@pytest.mark.parametrize("days", [90, 365])
@pytest.mark.parametrize("target", TURNED, ids=lambda target: target.name)
def test_a_matrix_is_one(reader: psycopg.Connection[tuple[Any, ...]], target: Target, days: int) -> None:
    """D37: of the real rows; every value is where it belongs, rows and columns are in order."""
    done = reader.execute(expand(target.sql, Moment.last(days, ALL)).encode())
    names, rows = [column.name for column in done.description or ()], done.fetchall()
    down, across = names[:2]
    kinds = ("string", "string", "number")
    columns = zip(names, kinds, zip(*rows, strict=True), strict=True)
    frame = [{"name": name, "type": kind, "values": values} for name, kind, values in columns]

    (shown,) = ask([], [(target.panel["transformations"], frame)])["frames"]
    (corner, left), *cells = shown
    assert corner == f"{down}\\{across}" and left == sorted({row[0] for row in rows})
    assert [name for name, _ in cells] == sorted({row[1] for row in rows})
    values = {(row, name): value for name, column in cells for row, value in zip(left, column, strict=True)}
    assert {key: value for key, value in values.items() if value is not None} == {
        (row, name): pytest.approx(float(value)) for row, name, value in rows
    }
