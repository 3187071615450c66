"""Every dashboard keeps the rules of a good one; the numbers are those of the criteria."""

from __future__ import annotations

import re

import pytest

from exporters.alert_rules import dashboards as uids
from exporters.alert_rules.groups import groups
from exporters.assets.host_values import filled
from grafana.parts.links import TAG
from grafana.parts.queries import SOURCES
from grafana.write import FOLDER, PLACES, files, places
from telemetry.settings import Settings
from tests.grafana.dashboards import (
    Json,
    dashboards,
    each_dashboard,
    has_filters,
    references,
    texts,
    used_variables,
    variables,
)

ROOT = FOLDER.parents[1]


@pytest.fixture(params=each_dashboard(), ids=lambda dashboard: dashboard["uid"])
def dashboard(request: pytest.FixtureRequest) -> Json:
    found: Json = request.param
    return found


def test_files_are_what_the_builders_write() -> None:
    """D35: `make dashboards` has written them, and writes the same every time."""
    assert {path.name: path.read_text() for path in FOLDER.iterdir()} == files() == files()
    assert PLACES.read_text() == places()


def test_it_is_a_classic_dashboard(dashboard: Json) -> None:
    """D1, D2: Grafana loads files of this format only."""
    foreign = {"elements", "layout", "apiVersion", "spec", "__inputs", "__requires", "__elements", "id"}
    assert dashboard["schemaVersion"] == 42 and dashboard["panels"]
    assert not foreign & {name for name, value in dashboard.items() if value is not None}


def test_each_has_a_name_of_its_own() -> None:
    """D3, D4: the uid is the name of the file, and no title is used twice."""
    for name, dashboard in dashboards().items():
        assert re.fullmatch(r"analysis-[a-z0-9-]{1,31}", dashboard["uid"])
        assert name == f"{dashboard['uid']}.json"
    assert len({each["title"] for each in each_dashboard()}) == len(dashboards())


def test_it_says_what_it_is(dashboard: Json) -> None:
    """D5, D6, D7: nobody edits it in Grafana, and it has a period and does not load too often."""
    assert dashboard["editable"] is False
    assert len(dashboard["description"]) >= 20 and TAG in dashboard["tags"]
    assert dashboard["time"]["from"].startswith("now-") and dashboard["timezone"] == "utc"
    assert dashboard["refresh"] in ("1m", "5m")
    assert "s" not in "".join(dashboard["timepicker"]["refresh_intervals"])


def test_periods_are_those_of_the_old_page(dashboard: Json) -> None:
    """D8."""
    ranges = dashboard["timepicker"]["quick_ranges"]
    assert [each["from"] for each in ranges] == ["now-7d", "now-30d", "now-90d", "now-365d"]


def test_titles_differ(dashboard: Json) -> None:
    """D9."""
    titles = [panel["title"] for panel in dashboard["panels"]]
    assert len(set(titles)) == len(titles)


def test_data_sources_are_variables(dashboard: Json) -> None:
    """D14, D15: whose defaults are the ones that are provisioned."""
    known = {source.variable: source for source in SOURCES}
    for reference in references({"panels": dashboard["panels"], "more": dashboard["templating"]}):
        name = reference["uid"].removeprefix("${").removesuffix("}")
        assert reference == {"type": filled(known[name].plugin, Settings()), "uid": f"${{{name}}}"}
    for name, variable in variables(dashboard).items():
        if variable["type"] == "datasource":
            default = filled(known[name].plugin, Settings()), filled(f"{known[name].uid}", Settings())
            assert (variable["query"], variable["current"]["value"]) == default


@pytest.mark.parametrize(
    ("name", "values"),
    [("segment", ["all", "new", "active", "power"]), ("batch_size", ["all", "small", "medium", "large"])],
)
def test_filters_of_the_plan(dashboard: Json, name: str, values: list[str]) -> None:
    """D16: all of them, and no other value."""
    if not has_filters(dashboard):
        return
    variable = variables(dashboard)[name]
    assert [option["value"] for option in variable["options"]] == values
    assert re.findall(r" : (\w+)", variable["query"]) == values
    assert variable["current"]["value"] == "all"
    assert not variable["multi"] and not variable["allowCustomValue"] and not variable["skipUrlSync"]
    assert {"user", "model"} <= variables(dashboard).keys()


def test_variables_are_declared_and_used(dashboard: Json) -> None:
    """D19."""
    parts = {name: value for name, value in dashboard.items() if name not in ("templating", "uid")}
    queries = [each.get("query") for each in dashboard["templating"]["list"]]
    named = [each["datasource"] for each in dashboard["templating"]["list"] if each.get("datasource")]
    used = used_variables([parts, queries, named])
    assert used == variables(dashboard).keys()


def test_panels_fill_the_grid(dashboard: Json) -> None:
    """D29: without gaps and overlaps."""
    cells = [
        (x, y)
        for panel in dashboard["panels"]
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    bottom = max(y for _, y in cells)
    assert sorted(cells) == [(x, y) for x in range(24) for y in range(bottom + 1)]
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids) and min(ids) > 0


def test_links_lead_to_dashboards_that_exist(dashboard: Json) -> None:
    """D30: and the list of all of them keeps the filters and the period."""
    assert not any("placement" in link for link in dashboard["links"])  # it hides a link in a menu
    lists = [link for link in dashboard["links"] if link["type"] == "dashboards"]
    assert [(each["tags"], each["includeVars"], each["keepTime"]) for each in lists] == [([TAG], True, True)]
    known = {each["uid"] for each in each_dashboard()}
    for text in texts(dashboard["panels"]):
        assert set(re.findall(r"^/d/([^?/]+)", text)) <= known


def test_exports_carry_the_filters(dashboard: Json) -> None:
    """D33."""
    links = {link["title"]: link.get("url") or "" for link in dashboard["links"]}
    if not has_filters(dashboard):
        return
    for form in ("csv", "json"):
        url = links[f"Export {form.upper()}"]
        assert url.startswith(f"${{app_url}}/admin/analytics/export/{form}?from=${{__from}}&to=${{__to}}")
        assert used_variables(url) == {"app_url", "segment", "batch_size", "user", "model"}


def test_alerts_can_be_seen(dashboard: Json) -> None:
    """D34: critical ones are marked in every chart."""
    (marks,) = dashboard["annotations"]["list"]
    assert 'alertstate="firing"' in marks["expr"]
    named = [name for part in re.findall('alertname=~"([^"]+)"', marks["expr"]) for name in part.split("|")]
    assert sorted(named) == sorted(alert.name for group in groups(Settings()) for alert in group.alerts)


def test_each_alert_leads_to_a_dashboard() -> None:
    """In the rules as written, and in its runbook; the uids are those that are declared."""
    known = {each["uid"] for each in each_dashboard()}
    assert known == {value for name, value in vars(uids).items() if name.isupper()}
    written = "".join(path.read_text() for path in (ROOT / "prometheus" / "rules").glob("*.yml"))
    led = set(re.findall(r'dashboard_url: "/d/([^"]+)"', written))
    assert led <= known and len(re.findall("alert: ", written)) == len(re.findall("dashboard_url: ", written))
    for group in groups(Settings()):
        for alert in group.alerts:
            assert alert.dashboard in led, alert.name
            runbook = (ROOT / "docs" / "runbooks" / f"{alert.name}.md").read_text()
            assert f"dashboard `{alert.dashboard}`" in runbook, alert.name
