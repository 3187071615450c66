"""What `.env` sets: secrets, and what reaches the application, the rules and the dashboards alike."""

from __future__ import annotations

import re
from dataclasses import fields, replace
from typing import Any, Final

import pytest

from exporters.alert_rules import files as rules
from exporters.alert_rules.groups import groups
from exporters.assets.host_values import VALUES
from telemetry.settings import PREFIX, Settings
from tests.stack import files as stack

FIXED: Final = {
    "alert_job",
    "grafana_postgresql_uid",
    "grafana_prometheus_uid",
    "grafana_traces_uid",
    "grafana_traces_type",
}
"""Names that docker-compose.yml and grafana/provisioning have, too."""
WITH_PAGES: Final = ("alertmanager", "prometheus")
"""Programs that name their own address in what they send."""
PORTS: Final = {
    "APP_PORT": "8001",
    "GRAFANA_PORT": "3001",
    "PROMETHEUS_PORT": "9091",
    "ALERTMANAGER_PORT": "9094",
}


def test_no_secret_has_a_default() -> None:
    """K5: a secret must be set; `.env.example` has every setting, and the defaults of the others."""
    found = stack.variables()
    secret = {name for name, _, _ in found if re.search(r"PASSWORD|SECRET|_KEY$", name)}
    known = stack.documented()
    used = {name for name, _, _ in found} | stack.passed("app")

    assert used == set(known) - {"COMPOSE_PROFILES", "COMPOSE_PROJECT_NAME"}
    assert known["COMPOSE_PROJECT_NAME"] == stack.compose()["name"]
    assert len(secret) == 8
    for name, kind, value in found:
        if name in secret:
            assert kind == "?", name
        elif name != "OPENAI_BASE_URL":
            assert (kind, value) == ("-", known[name]), name
    assert {name for name in secret if known[name]} == {"OPENAI_API_KEY"}  # the stand-in takes any
    assert known["OPENAI_API_KEY"] == "stand-in"


def test_no_literal_secret() -> None:
    """K5: nor is there one in what Grafana, Prometheus and Alertmanager read."""
    for name, service in stack.services().items():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD$|SECRET_KEY$", variable):
                assert value == "secret", (name, variable)


def test_what_rules_and_dashboards_show_can_be_set() -> None:
    """Every setting that changes them, for `assets`, which writes them, and for the application alike."""
    shown = {f"{PREFIX}{entry.name.upper()}" for entry in fields(Settings) if _is_shown(entry.name)}
    assert len(shown) > 20
    for name, service in stack.services().items():
        given = service.get("environment", {})
        if "SCREENER_DATABASE_URL" in given:
            assert shown - given.keys() == {f"{PREFIX}{fixed.upper()}" for fixed in FIXED}, name
    assert "SCREENER_DATABASE_URL" in stack.environment("assets")
    assert "assets" in stack.services()["prometheus"]["depends_on"]
    assert "assets" in stack.services()["grafana"]["depends_on"]


def test_what_is_passed_are_settings() -> None:
    """`.env.example` has their defaults."""
    passed = {name: stack.documented()[name] for name in stack.passed("app")}

    assert Settings.load(passed) == Settings()


@pytest.mark.parametrize("ports", [{}, PORTS], ids=["default ports", "other ports"])
def test_links_are_for_a_browser(ports: dict[str, str]) -> None:
    """Those of alerts, notifications and dashboards begin with the addresses that are published."""
    found = stack.parsed(**ports)["services"]
    settings = Settings.load(
        {name: value for name, value in found["assets"]["environment"].items() if value is not None}
    )
    url = {
        name: f"http://{found[name]['ports'][0].rpartition(':')[0]}"
        for name in ("app", "grafana", *WITH_PAGES)
    }

    for alert in [alert for group in groups(settings) for alert in group.alerts]:
        links = rules.annotations_of(alert, settings)
        assert links["runbook_url"] == f"{url['prometheus']}/consoles/{alert.name}.md"
        assert links["dashboard_url"] == f"{url['grafana']}/d/{alert.dashboard}"
    assert VALUES["app_url"](settings) == url["app"]
    assert found["grafana"]["environment"]["GF_SERVER_ROOT_URL"] == url["grafana"]
    for name in WITH_PAGES:
        assert f"--web.external-url={url[name]}" in found[name]["command"]


def _is_shown(name: str) -> bool:
    """Return whether rules or dashboards change with a setting."""
    default = getattr(Settings(), name)
    other: Any = (
        f"{default}x"
        if isinstance(default, str)
        else default + 1
        if isinstance(default, int | float)
        else None
    )
    return other is not None and _shown(replace(Settings(), **{name: other})) != _shown(Settings())


def _shown(settings: Settings) -> list[object]:
    return [rules.files(settings), *(value(settings) for value in VALUES.values())]
