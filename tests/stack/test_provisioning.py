"""What Grafana reads at its start: data sources, dashboards and the links between them (V1 to V9)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from exporters.alert_rules.dashboards import OVERVIEW
from telemetry import conventions as c
from tests.grafana.conftest import database
from tests.grafana.dashboards import FOLDER, dashboards
from tests.postgres import TemporaryPostgres
from tests.stack import files as stack

ALERTMANAGER: Final = "analysis-alertmanager"
CORE_PANELS: Final = set(
    """
    alertlist annolist barchart bargauge candlestick canvas dashlist datagrid debug flamegraph gauge geomap
    heatmap histogram logs news nodeGraph piechart row stat state-timeline status-history table text
    timeseries traces trend xychart
    """.split()
)
CORE_SOURCES: Final = {"alertmanager", "grafana-postgresql-datasource", "jaeger", "prometheus"}
"""Panels and data sources that are part of Grafana."""
ONE_JOB: Final = "SELECT trace_id, run_id FROM telemetry_jobs WHERE trace_id IS NOT NULL LIMIT 1"


def provider() -> dict[str, Any]:
    """The only provider of dashboards."""
    (found,) = stack.load(stack.PROVISIONING / "dashboards" / "analysis.yml")["providers"]
    assert isinstance(found, dict)
    return found


def test_data_sources_have_fixed_uids() -> None:
    """V1: the uids are those that dashboards name, nobody edits them, and one is the default."""
    parsed = stack.load(stack.PROVISIONING / "datasources" / "analysis.yml")
    listed, sources = parsed["datasources"], stack.data_sources()

    assert parsed["prune"] is True
    assert len(listed) == len(sources) == len({source["name"] for source in listed})
    known = dict(stack.dashboard_sources().values())
    assert set(sources) == known.keys() | {ALERTMANAGER}
    assert known.items() <= {uid: source["type"] for uid, source in sources.items()}.items()
    assert all(source["access"] == "proxy" and source["editable"] is False for source in listed)
    assert sum(source["isDefault"] for source in listed) == 1


def test_references_between_data_sources_resolve() -> None:
    """V2: every uid that a data source names is that of one, to the letter."""
    text = (stack.PROVISIONING / "datasources" / "analysis.yml").read_text()
    named = re.findall(r"(?:datasourceUid|alertmanagerUid|targetUID): ([\w-]+)", text)

    assert len(named) >= 5
    assert set(named) <= set(stack.data_sources())


def test_dollars_are_variables_or_doubled() -> None:
    """V3: each variable is one that the compose file sets; every other `$` is for Grafana itself."""
    given = stack.environment("grafana")
    used: set[str] = set()
    for file in stack.PROVISIONING.rglob("*.yml"):
        for text in stack.strings(stack.load(file)):
            names = re.findall(r"(?<!\$)(?:\$\$)*\$(?!\$)\{?(\w+)\}?", text)
            used.update(names)
    addresses = {name for name in given if name.startswith("ANALYSIS_")}

    assert used == addresses
    page = (stack.ROOT / "docs" / "how-to" / "stack.md").read_text()
    assert {name for name in addresses if f"`{name}`" not in page} == set()


def test_metrics_lead_to_traces_and_alerts() -> None:
    """V4: by the label that exemplars have; Grafana's questions are no finer than the scrapes."""
    source = stack.data_sources()["analysis-prometheus"]
    settings = source["jsonData"]
    (destination,) = settings["exemplarTraceIdDestinations"]
    scraped = stack.load(stack.ROOT / "prometheus" / "prometheus.yml")["global"]["scrape_interval"]

    assert (destination["name"], destination["datasourceUid"]) == ("trace_id", "analysis-jaeger")
    assert settings["timeInterval"] == scraped
    assert settings["httpMethod"] == "POST"
    assert settings["manageAlerts"] is True and settings["alertmanagerUid"] == ALERTMANAGER
    assert stack.data_sources()[ALERTMANAGER]["jsonData"]["implementation"] == "prometheus"


def test_traces_lead_to_metrics() -> None:
    """V5: each query names a metric that there is, with the tag of the span as its label."""
    settings = stack.data_sources()["analysis-jaeger"]["jsonData"]["tracesToMetrics"]
    ours = {c.OPENAI_ATTEMPTS.prometheus_name, "traces_span_metrics_duration_seconds_bucket"}

    assert settings["datasourceUid"] == "analysis-prometheus"
    assert settings["tags"] == [{"key": "service.name", "value": "service_name"}]
    assert len(settings["queries"]) == 2
    for query in settings["queries"]:
        text = stack.grafana_expanded(query["query"], {})
        assert any(name in text for name in ours), text
        assert "{$__tags}" in text and "[$__rate_interval]" in text


def test_traces_lead_to_rows_and_back(postgres: TemporaryPostgres) -> None:
    """V5: the query of a trace's correlation finds the analysis, as the role that Grafana has."""
    (to_row,) = stack.data_sources()["analysis-jaeger"]["correlations"]
    (to_trace,) = stack.data_sources()["analysis-postgresql"]["correlations"]
    sql = stack.grafana_expanded(to_row["config"]["target"]["rawSql"], {})
    assert "${traceID:sqlstring}" in sql and to_row["config"]["field"] == "traceID"

    with database(postgres, 30) as made, psycopg.connect(made.reader_url) as reader:
        row = reader.execute(ONE_JOB).fetchone()
        assert row
        without_zeros = str(row[0]).lstrip("0")
        found = reader.execute(sql.replace("${traceID:sqlstring}", f"'{without_zeros}'").encode())
        columns = [column.name for column in found.description or ()]
        runs = [each[columns.index("run_id")] for each in found.fetchall()]

    assert runs == [row[1]]
    assert to_trace["config"]["field"] in columns
    assert stack.grafana_expanded(to_trace["config"]["target"]["query"], {}) == "${trace_id}"
    assert {to_row["targetUID"], to_trace["targetUID"]} == {"analysis-postgresql", "analysis-jaeger"}


def test_postgresql_is_read_by_its_own_role() -> None:
    """V6: the password comes from the environment, TLS is decided, the version is that of the image."""
    source, given = stack.data_sources()["analysis-postgresql"], stack.environment("grafana")
    settings = source["jsonData"]
    image = stack.services()["postgres"]["image"]

    assert source["secureJsonData"] == {"password": "${ANALYSIS_POSTGRES_PASSWORD}"}
    assert given["ANALYSIS_POSTGRES_USER"] == "grafana"
    assert settings["sslmode"] == "${ANALYSIS_POSTGRES_SSLMODE}" and given["ANALYSIS_POSTGRES_SSLMODE"]
    assert settings["postgresVersion"] == 100 * int(image.split(":")[1].split(".")[0])
    assert settings["maxOpenConns"] > 0 and settings["timeInterval"]


def test_dashboards_are_files_that_nobody_edits() -> None:
    """V7: one provider for the folder that is mounted, under a fixed folder of Grafana."""
    found = provider()
    written = f"/assets/{FOLDER.relative_to(stack.ROOT)}"

    assert stack.mounts("grafana")[found["options"]["path"]] == stack.mounts("assets")[written]
    assert found["folder"] and found["folderUid"]
    assert found["allowUiUpdates"] is False and found["disableDeletion"] is True
    assert found["updateIntervalSeconds"] >= 10
    assert [path.name for path in (stack.PROVISIONING / "dashboards").iterdir()] == ["analysis.yml"]


def test_home_is_the_overview() -> None:
    """V8: and the file is there, in the folder of the provider."""
    home = Path(stack.environment("grafana")["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])

    assert str(home.parent) == provider()["options"]["path"]
    assert home.name == f"{OVERVIEW}.json" and home.name in dashboards()


@pytest.mark.parametrize("name", sorted(dashboards()))
def test_no_plugin_is_downloaded(name: str) -> None:
    """V9: panels and data sources are part of Grafana, and it installs nothing at its start."""
    panels = {panel["type"] for panel in dashboards()[name]["panels"]}
    given = stack.environment("grafana")

    assert panels <= CORE_PANELS
    assert {source["type"] for source in stack.data_sources().values()} <= CORE_SOURCES
    assert given["GF_PLUGINS_PREINSTALL_DISABLED"] == "true"
    assert not [name for name in given if name in ("GF_INSTALL_PLUGINS", "GF_PLUGINS_PREINSTALL")]
