"""A host that has installed the wheel gets dashboards, rules and configurations with its own names."""

from __future__ import annotations

import json
from pathlib import Path

from exporters.assets.contents import contents
from telemetry.settings import Settings
from tests.compatibility.conftest import HOST, NewHost, Session
from tests.environments import interpreter

SETTINGS = {"TELEMETRY_ALERT_JOB": "shop/hiring", "TELEMETRY_BUDGET_MONTH_USD": "1250.5"}


def write(host: NewHost, environment: str, *options: str, **settings: str) -> Session:
    """Call the command of a host in an environment of its own."""
    there = host(environment)
    command = [str(there.python), "-m", "flask", "--app", str(HOST), "telemetry", "assets", "written"]
    return there.call([*command, *options], settings)


def test_a_wheel_in_a_fresh_environment_writes_everything(host: NewHost, tmp_path: Path) -> None:
    """The same as this checkout, to the byte, without what builds dashboards."""
    done = write(host, "old", "--json", **SETTINGS)

    assert (done.status, done.err) == (0, "")
    wanted = contents(Settings(alert_job="shop/hiring", budget_month_usd=1250.5))
    assert json.loads(done.out)["new"] == list(wanted)
    assert {name: (tmp_path / "written" / name).read_text() for name in wanted} == wanted
    assert write(host, "old", "--check", **SETTINGS).status == 0
    assert write(host, "old", "--check").status == 1


def test_builders_are_not_installed_there() -> None:
    """Else the test above would prove little."""
    site = [*interpreter("host-old").parents[1].rglob("grafana_foundation_sdk")]
    assert site == []
