"""Tables can be read: narrow columns, colours, and no sentence in a cell that has no value."""

from __future__ import annotations

import pytest

from grafana.parts.kinds import rows
from grafana.parts.panels import SECONDS, About, Column, sql
from tests.grafana.dashboards import panels

TABLES = [(uid, panel) for uid, panel in panels() if panel["type"] == "table"]


def test_no_column_is_out_of_sight_before_it_is_narrow() -> None:
    """And a cell without a value says only that; the sentence is for a table without rows."""
    for uid, panel in TABLES:
        config = panel["fieldConfig"]
        assert config["defaults"]["custom"]["minWidth"] <= 80, (uid, panel["title"])
        overrides = {
            (rule["matcher"]["options"], each["id"]): each["value"]
            for rule in config["overrides"]
            for each in rule["properties"]
        }
        assert overrides["/.*/", "noValue"] == "–"
        assert len(config["defaults"]["noValue"].split()) > 3


def test_limits_of_a_column_colour_its_cells() -> None:
    """A table shows a colour only if its cells are told to."""
    for uid, panel in TABLES:
        for rule in panel["fieldConfig"]["overrides"]:
            given = {each["id"]: each["value"] for each in rule["properties"]}
            if "thresholds" in given:
                assert given["custom.cellOptions"]["type"].startswith("color-"), (uid, panel["title"])


def test_no_column_is_called_time() -> None:
    """What is said of it would be said of every column of times."""
    with pytest.raises(ValueError, match="another name"):
        rows(
            About(title="Jobs", question="How long?"),
            sql('SELECT duration_seconds AS "Time" FROM telemetry_jobs'),
            columns={"Time": Column(unit=SECONDS)},
        )
