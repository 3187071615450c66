"""What is written: dashboards that resolve, with the host's values, and the same as objects of Kubernetes."""

from __future__ import annotations

import json
import re
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from exporters.alert_rules.files import files as rule_files
from exporters.assets.contents import contents, dashboards
from exporters.assets.host_values import NO_LIMIT, VALUES, HostValue
from telemetry.settings import Settings
from tests.grafana.dashboards import Json, references, texts, used_variables, variables

ROOT = Path(__file__).parents[2]
OURS = Settings(
    alert_job="shop/hiring",
    app_url="https://hiring.example.com/",
    grafana_postgresql_uid="pg-1",
    grafana_prometheus_uid="prom-1",
    grafana_traces_uid="tempo-1",
    grafana_traces_type="tempo",
    budget_month_usd=1250.5,
    budget_day_usd=70,
    budget_warning_share=0.9,
    rate_limited_jobs=8,
    failed_jobs_objective=0.02,
)
DEFAULT = Settings()


def read(settings: Settings) -> dict[str, Json]:
    return {name: json.loads(text) for name, text in dashboards(settings).items()}


def panel(settings: Settings, uid: str, title: str) -> Json:
    panels: list[Json] = read(settings)[f"{uid}.json"]["panels"]
    return next(each for each in panels if each["title"] == title)


def limits(shown: Json) -> list[float | None]:
    return [step["value"] for step in shown["fieldConfig"]["defaults"]["thresholds"]["steps"]]


def changed(settings: Settings, base: Settings = DEFAULT) -> set[str]:
    """Return the files that are others than with other settings."""
    before, after = contents(base), contents(settings)
    assert before.keys() == after.keys()
    return {name for name in after if after[name] != before[name]}


def test_with_the_default_settings_it_is_what_the_repository_has() -> None:
    """Files of the same names: the pages are true of both."""
    for name, text in contents(DEFAULT).items():
        if not name.startswith(("kubernetes/", "docs/")):
            assert text == (ROOT / name).read_text(), name


def test_nothing_that_the_repository_ships_is_missing() -> None:
    """A new layer, receiver or dashboard is written, too."""
    folders = {"collector": "yaml", "prometheus": "yml", "grafana/dashboards": "json", "docs/runbooks": "md"}
    shipped = {
        path.relative_to(ROOT).as_posix()
        for folder, suffix in folders.items()
        for path in (ROOT / folder).rglob(f"*.{suffix}")
    }
    shipped -= {
        "prometheus/compose.yml",
        "prometheus/postgres.yml",
    }  # for the containers of this repository alone
    assert shipped == {name for name in contents(DEFAULT) if not name.startswith("kubernetes/")}


def test_links_of_runbooks_lead_to_pages_that_are_written() -> None:
    """Other pages of this project are named, not linked. With the default, links of alerts are paths here."""
    written = contents(DEFAULT)
    pages = {name: text for name, text in written.items() if name.startswith("docs/runbooks/")}
    for name, text in pages.items():
        links = [link for link in re.findall(r"\]\(([^)#]+)", text) if "://" not in link]
        assert {f"docs/runbooks/{link}" for link in links} <= pages.keys(), name
    assert "the role for dashboards may do all of it" in " ".join(pages["docs/runbooks/README.md"].split())
    linked = {
        link for name, text in written.items() for link in re.findall(r'runbook_url: "?([^"\s]+)', text)
    }
    assert linked == pages.keys() - {"docs/runbooks/README.md"}


@pytest.mark.parametrize("settings", [DEFAULT, OURS], ids=["default", "ours"])
def test_data_sources_and_variables_resolve(settings: Settings) -> None:
    """Each reference is to a variable of the same dashboard, whose value is a uid of the settings."""
    uids = {
        "grafana-postgresql-datasource": settings.grafana_postgresql_uid,
        "prometheus": settings.grafana_prometheus_uid,
        settings.grafana_traces_type: settings.grafana_traces_uid,
    }
    for name, dashboard in read(settings).items():
        known = variables(dashboard)
        sources = {key: each for key, each in known.items() if each["type"] == "datasource"}
        for source in sources.values():
            assert {*source["current"].values()} == {True, uids[source["query"]]}, name
        for reference in references({"panels": dashboard["panels"], "more": dashboard["templating"]}):
            assert sources[reference["uid"][2:-1]]["query"] == reference["type"], name
        parts = {key: value for key, value in dashboard.items() if key != "templating"}
        assert used_variables(parts) <= known.keys(), name
        assert "⟦" not in "".join(texts(dashboard)), name


def test_a_trace_opens_in_the_store_of_the_host() -> None:
    """The link has the type of the data source, whose uid is that of the variable."""
    for settings, kind in ((DEFAULT, "jaeger"), (OURS, "tempo")):
        for name, dashboard in read(settings).items():
            for text in texts(dashboard["panels"]):
                if text.startswith("/explore?"):
                    assert f"%22type%22%3A%22{kind}%22%2C%22uid%22%3A%22${{ds_traces}}%22" in text, name


def test_the_applications_name_and_address_are_those_of_the_host() -> None:
    """In variables, which all queries and links use."""
    for name, dashboard in read(OURS).items():
        known = variables(dashboard)
        if "job" in known:
            assert known["job"]["current"] == {
                "selected": True,
                "text": "shop/hiring",
                "value": "shop/hiring",
            }
        if "app_url" in known:
            assert known["app_url"]["query"] == "https://hiring.example.com", name


def test_budgets_in_panels_are_those_of_the_host() -> None:
    """In sentences, in expressions, and as limits of colours."""
    used = panel(OURS, "analysis-overview", "Budget used this month")
    month = panel(OURS, "analysis-cost", "This month against the budget")
    left = panel(OURS, "analysis-cost", "Budget left this month")

    assert "Budget: $1,250.50." in used["description"] and limits(used) == [None, 0.9, 1]
    assert " / 1250.5 and on () (vector(1250.5) > 0)" in used["targets"][0]["expr"]
    assert limits(month) == [None, 1125.45, 1250.5]
    assert left["targets"][0]["expr"].startswith("1250.5 - max by (job)")
    assert limits(panel(OURS, "analysis-cost", "Spent today")) == [None, 63, 70]


def test_without_a_budget_no_panel_is_red() -> None:
    """0 is no limit; what would compare with it is empty and says why."""
    free = Settings(budget_month_usd=0, budget_day_usd=0)
    month = panel(free, "analysis-cost", "This month against the budget")
    left = panel(free, "analysis-cost", "Budget left this month")

    assert "Budget: none." in month["description"]
    assert limits(month) == [None, NO_LIMIT, NO_LIMIT]
    assert limits(panel(free, "analysis-cost", "Spent today")) == [None, NO_LIMIT, NO_LIMIT]
    assert left["targets"][0]["expr"].endswith(" and on () (vector(0) > 0)")
    assert left["fieldConfig"]["defaults"]["noValue"].startswith("There is no monthly budget. ")


@pytest.mark.parametrize(
    ("setting", "value", "panels", "rules"),
    [
        ("budget_month_usd", 2000.0, {"cost", "overview"}, {"money"}),
        ("budget_day_usd", 7.0, {"cost"}, {"money"}),
        ("budget_warning_share", 0.7, {"cost", "overview"}, {"money"}),
        ("rate_limited_jobs", 6, {"rate-limits"}, {"jobs"}),
        ("failed_jobs_objective", 0.04, {"errors"}, {"failures"}),
        ("collector_queue_share", 0.7, {"telemetry"}, {"collector"}),
        ("override_factor", 2.0, {"users"}, {"jobs"}),
        ("gauges_seconds", 100.0, {"telemetry"}, {"pipeline"}),
        ("worker_silent_seconds", 200.0, set(), {"jobs"}),
        ("app_url", "https://a.example", {"cost", "errors"}, set()),
        ("metrics_port", 9100, set(), set()),
    ],
)
def test_a_changed_setting_changes_what_it_should(
    setting: str, value: Any, panels: set[str], rules: set[str]
) -> None:
    """And nothing else; files and objects of Kubernetes change together."""
    found = changed(replace(DEFAULT, **{setting: value}))
    boards = {match[1] for name in found if (match := re.fullmatch(r"grafana/.*/analysis-(.+)\.json", name))}

    assert boards >= panels if setting == "app_url" else boards == panels
    assert {Path(name).stem for name in found if name.startswith("prometheus/rules/")} == rules
    assert found == {
        *(f"grafana/dashboards/analysis-{board}.json" for board in boards),
        *(f"kubernetes/dashboards/analysis-{board}.yaml" for board in boards),
        *(f"prometheus/rules/{rule}.yml" for rule in rules),
        *(f"kubernetes/rules/{rule}.yaml" for rule in rules),
    }


def test_every_value_of_the_host_is_in_a_dashboard() -> None:
    """One that none uses any more is to be deleted."""
    places = json.loads((ROOT / "grafana" / "host_values.json").read_text())
    used = {name for text in texts(places) for name in re.findall(r"⟦(\w+)", text)}

    assert used == VALUES.keys()


def test_a_value_that_is_not_declared_stops_the_builder() -> None:
    """So does arithmetic, whose result would be that of the default settings."""
    with pytest.raises(LookupError, match="budget_week is no value of the host"):
        HostValue("budget_week")
    with pytest.raises(TypeError):
        HostValue("budget_month_usd") * 2  # type: ignore[operator]


def test_builders_take_nothing_else_of_the_settings() -> None:
    """A default of a setting in a panel would be that of every host; only filling in knows the settings."""
    readers = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "grafana").rglob("*.py")
        if re.search(r"\bSettings\b", path.read_text())
    }

    assert readers == {"grafana/parts/dashboard.py"}


def test_each_dashboard_is_a_config_map_for_the_sidecar() -> None:
    """With the label by which it looks for them, and the very file."""
    for name, text in dashboards(OURS).items():
        written = contents(OURS)[f"kubernetes/dashboards/{name.removesuffix('.json')}.yaml"]
        found = yaml.safe_load(written)
        assert (found["apiVersion"], found["kind"], found["data"]) == ("v1", "ConfigMap", {name: text})
        assert found["metadata"]["labels"]["grafana_dashboard"] == "1"
        assert re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", found["metadata"]["name"])
        assert len(written.encode()) < 262_144  # what an annotation of `kubectl apply` holds


def test_each_group_is_a_rule_for_prometheus_operator() -> None:
    """With the very groups of the file."""
    names = set()
    for name, text in rule_files(OURS).items():
        found = yaml.safe_load(contents(OURS)[f"kubernetes/rules/{name.removesuffix('.yml')}.yaml"])
        assert (found["apiVersion"], found["kind"]) == ("monitoring.coreos.com/v1", "PrometheusRule")
        assert found["spec"] == yaml.safe_load(text)
        names.add(found["metadata"]["name"])
    assert len(names) == len(rule_files(OURS))


def test_settings_of_the_test_differ_from_the_defaults() -> None:
    """Else the tests above would prove little."""
    assert sum(getattr(OURS, each.name) != getattr(DEFAULT, each.name) for each in fields(Settings)) == 11
