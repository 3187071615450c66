"""The shipped configuration of Alertmanager is accepted and has no secrets; where it sends each alert."""

from __future__ import annotations

import re
import subprocess
from itertools import product
from pathlib import Path
from typing import Final

import pytest

from exporters.findings.alertmanager import RULES
from tests.alert_rules.collected import ALERTS
from tests.notifications.shipped import FOLDER, NAMES, RECEIVERS, ROUTING, configuration
from tests.tools import program

FILES: Final = {name: sorted(path.stem for path in RECEIVERS.glob(f"{name}-*.yml")) for name in NAMES}
SECRETS: Final = re.compile(
    r"\b(url|api_url|auth_password|password|auth_secret|credentials|token|routing_key)\b"
)
PLATFORM: Final = ("otelcol", "prometheus", "alertmanager", "postgres")


def amtool(*arguments: str | Path) -> str:
    done = subprocess.run(
        [program("amtool"), *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_it_starts_without_a_secret() -> None:
    """What is committed is the routes with receivers that notify nobody."""
    assert (FOLDER / "alertmanager.yml").read_text() == configuration("none")
    assert "SUCCESS" in amtool("check-config", FOLDER / "alertmanager.yml")


@pytest.mark.parametrize("receivers", list(product(*FILES.values())), ids=" ".join)
def test_alertmanager_accepts_every_choice_of_receivers(receivers: tuple[str, ...], tmp_path: Path) -> None:
    """One file for each receiver makes a configuration."""
    path = tmp_path / "alertmanager.yml"
    path.write_text(configuration(*receivers))

    assert "SUCCESS" in amtool("check-config", path)


def test_every_file_of_receivers_is_for_one() -> None:
    """Its name says which and by what; `none.yml` is for all."""
    assert {path.stem for path in RECEIVERS.glob("*")} == {"none"} | {
        file for files in FILES.values() for file in files
    }
    for name, files in FILES.items():
        for file in files:
            text = (RECEIVERS / f"{file}.yml").read_text()
            assert re.findall(r"^  - name: (\w+)$", text, re.M) == [name]


def test_receivers_say_what_they_do_when_an_alert_is_resolved() -> None:
    """The defaults differ from kind to kind."""
    notifying = [path.read_text() for path in RECEIVERS.glob("*.yml") if "_configs:" in path.read_text()]

    assert notifying
    for text in notifying:
        ways = re.findall(r"^      - ", text, re.M)
        assert ways and len(re.findall(r"^        send_resolved: (?:true|false)\b", text, re.M)) == len(ways)


def test_no_file_holds_a_secret() -> None:
    """Secrets are in files of their own, which the settings that end in `_file` name."""
    for path in FOLDER.rglob("*.yml"):
        assert not SECRETS.search(re.sub(r"(?m)#.*$", "", path.read_text())), path.name


def test_alerts_are_grouped() -> None:
    """No route sends each alert by itself, nor all of them together."""
    assert re.search(r"^  group_by: \[alertname, service, environment\]$", ROUTING, re.M)
    assert all("service" in labels for labels in re.findall(r"group_by: \[(.*)\]", ROUTING))


@pytest.mark.parametrize(
    ("labels", "receiver"),
    [
        ({"alertname": "Watchdog", "severity": "info", "service": "prometheus"}, "watchdog"),
        *(
            ({"severity": "critical", "service": service}, "page")
            for service in ("screener", "shop/x", *PLATFORM)
        ),
        *(({"severity": "warning", "service": service}, "channel") for service in ("screener", "shop/x")),
        *(({"severity": "warning", "service": service}, "platform") for service in PLATFORM),
        *(({"severity": "info", "service": service}, "nowhere") for service in ("screener", *PLATFORM)),
        *(({"severity": each, "source": "insights"}, "channel") for each in ("critical", "warning")),
        ({"alertname": "SomethingElse"}, "channel"),
        ({"severity": "unheard-of", "service": "screener"}, "channel"),
    ],
    ids=lambda value: value if isinstance(value, str) else " ".join(value.values()),
)
def test_where_alerts_go(labels: dict[str, str], receiver: str) -> None:
    """By severity and service; what no route knows is seen, too."""
    pairs = [f"{name}={value}" for name, value in labels.items()]

    assert amtool(
        "config", "routes", "test", f"--config.file={FOLDER / 'alertmanager.yml'}", *pairs
    ).split() == [receiver]


def test_alerts_are_called_as_the_rules_call_them() -> None:
    """A rule that is renamed leaves no route, no inhibition and no finding behind."""
    names = {alert.name for alert in ALERTS}
    matchers = re.findall(r"alertname=~?\"(.+?)\"", ROUTING)
    known = {matcher: [name for name in names if re.fullmatch(matcher, name)] for matcher in matchers}
    alternatives = {
        matcher: len(re.findall(r"\|", matcher)) + 1 for matcher in matchers if not matcher.endswith(".+")
    }

    assert known and all(known.values())
    assert {matcher: len(known[matcher]) for matcher in alternatives} == alternatives
    assert set(RULES.values()) <= names
    services = {alert.service for alert in ALERTS} - {"screener"}
    assert services == set(PLATFORM)
