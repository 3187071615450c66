"""Every panel keeps the rules of a good one; the numbers are those of the criteria."""

from __future__ import annotations

import json
import re
import urllib.parse

import pytest

from exporters.alert_rules import dashboards as uids
from exporters.assets.host_values import filled
from grafana.parts import filters
from grafana.parts.links import trace
from telemetry.settings import Settings
from tests.grafana.columns import fields
from tests.grafana.dashboards import each_dashboard, panels, texts

CORE_PANELS = {"barchart", "heatmap", "piechart", "stat", "table", "timeseries", "xychart"}
TRANSFORMATIONS = {"groupingToMatrix", "sortBy"}


def test_each_panel_says_what_it_answers_and_who_cares() -> None:
    """D9, D11: with a sentence for when there is nothing to see."""
    for uid, panel in panels():
        description, empty = panel["description"], panel["fieldConfig"]["defaults"]["noValue"]
        assert re.search(r"[?] (.* )?Owner: [a-z -]+\.$", description), (uid, panel["title"], description)
        assert len(empty) > 20 and empty.endswith("."), (uid, panel["title"])


def test_figures_have_limits() -> None:
    """D12: the first limit has no lower end, and colours have names."""
    for uid, panel in panels():
        steps = panel["fieldConfig"]["defaults"]["thresholds"]["steps"]
        assert steps[0]["value"] is None, (uid, panel["title"])
        assert not any(step["color"].startswith("#") for step in steps), (uid, panel["title"])
        if panel["type"] == "stat":
            assert len(steps) >= 2, (uid, panel["title"])


def test_each_panel_asks_something() -> None:
    """D13."""
    for uid, panel in panels():
        letters = [target["refId"] for target in panel["targets"]]
        assert letters and len(set(letters)) == len(letters), (uid, panel["title"])
        for target in panel["targets"]:
            assert (target.get("rawSql") or target.get("expr")) and not target.get("hide"), (
                uid,
                panel["title"],
            )


def test_panels_are_of_grafana_itself() -> None:
    """V9, D37, D38: no plugin is needed, every transformation exists, and there are few panels."""
    for uid, panel in panels():
        assert panel["type"] in CORE_PANELS, (uid, panel["title"])
        named = {each["id"] for each in panel.get("transformations", ())}
        assert named <= TRANSFORMATIONS, (uid, panel["title"])
    assert all(len(each["panels"]) <= 16 for each in each_dashboard())


def test_shares_have_few_slices_with_figures() -> None:
    """D39."""
    for uid, panel in panels():
        if panel["type"] == "piechart":
            assert panel["options"]["legend"]["values"] == ["value", "percent"], (uid, panel["title"])
            assert "number < 8" in panel["targets"][0]["rawSql"], (uid, panel["title"])


def test_single_jobs_lead_to_their_traces() -> None:
    """D31: rows, and points, which have the links of their height."""
    for uid, panel in panels():
        columns = fields(panel)
        if panel["type"] not in ("table", "xychart") or "Analysis" not in columns:
            continue
        links = {
            rule["matcher"]["options"]: str(
                [each["value"] for each in rule["properties"] if each["id"] == "links"]
            )
            for rule in panel["fieldConfig"]["overrides"]
        }
        places = {"Trace": "${__data.fields.Trace}", "Analysis": "/d/analysis-one?"}
        if panel["type"] == "xychart":
            height = panel["options"]["series"][0]["y"]["matcher"]["options"]
            assert all(target in links[height] for target in places.values()), (uid, panel["title"])
        assert all(target in links[name] for name, target in places.items()), (uid, panel["title"])


def test_points_of_histograms_lead_to_traces() -> None:
    """D31."""
    found = [
        (target["exemplar"], panel["title"])
        for uid, panel in panels()
        for target in panel["targets"]
        if "histogram_quantile" in target.get("expr", "") and uid != uids.TELEMETRY
    ]
    assert found and all(exemplar for exemplar, _ in found), found


def test_a_trace_opens_in_its_data_source() -> None:
    """The link of Explore is JSON once it is decoded, also with a trace's id in it."""
    url = (
        str(filled(str(trace()["url"]), Settings()))
        .replace("${__data.fields.Trace}", "ab12")
        .replace("${ds_traces}", "analysis-jaeger")
    )
    assert "${" not in url.replace("${__from}", "").replace("${__to}", "")
    fields = urllib.parse.parse_qs(urllib.parse.urlsplit(url).query)
    (pane,) = json.loads(fields["panes"][0]).values()
    (query,) = pane["queries"]
    assert (pane["datasource"], query["query"], query["datasource"]["type"]) == (
        "analysis-jaeger",
        "ab12",
        "jaeger",
    )


CHARTS = {
    "cost breakdown": {
        ("analysis-cost", "Cost by stage"): "piechart",
        ("analysis-cost", "Cost over time"): "timeseries",
    },
    "quality heatmap": {
        ("analysis-resume-quality", "Seconds by file size and length"): "table",
        ("analysis-resume-quality", "File size, length and time"): "xychart",
    },
    "user cohorts": {
        ("analysis-users", "New and returning users per week"): "timeseries",
        ("analysis-users", "Batch size per week"): "timeseries",
        ("analysis-users", "Retention"): "table",
    },
    "rate limit timeline": {
        ("analysis-rate-limits", "When rate limits occur"): "heatmap",
        ("analysis-rate-limits", "Rate-limited jobs and batch size"): "timeseries",
        ("analysis-rate-limits", "Share of rate-limited jobs by size"): "xychart",
        ("analysis-rate-limits", "Correlation with size"): "stat",
    },
    "error types": {
        ("analysis-errors", "Errors by type"): "piechart",
        ("analysis-errors", "Errors over time"): "timeseries",
        ("analysis-errors", "Latest errors"): "table",
    },
}
"""The charts that are required, each with the panels that show it and their types."""


@pytest.mark.parametrize("chart", CHARTS)
def test_the_required_charts_are_there(chart: str) -> None:
    """D32."""
    there = {(uid, panel["title"]): panel["type"] for uid, panel in panels()}
    assert CHARTS[chart].items() <= there.items()


MONEY = re.compile(r"cost_|(wasted|saved)_pico|analysis_spend_")
MODEL_FILTER = (filters._CALLED, filters._COST)
SAYS_SO = re.compile(r"lower bound|unknown cost|at least", re.IGNORECASE)


def test_incomplete_money_is_called_a_lower_bound() -> None:
    """In each panel that shows what calls cost."""
    for uid, panel in panels():
        queries = " ".join(target.get("rawSql", "") + target.get("expr", "") for target in panel["targets"])
        for part in MODEL_FILTER:  # reads what calls cost in every query
            queries = queries.replace(part, "")
        shows = any("USD" in text for text in texts(panel["fieldConfig"]))
        if shows and MONEY.search(queries):
            assert SAYS_SO.search(queries + str(panel["fieldConfig"])) or "_incomplete" in queries, (
                uid,
                panel["title"],
            )
