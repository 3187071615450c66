"""Alerts as Prometheus sends them to Alertmanager."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Final
from urllib.request import Request, urlopen

from exporters.alert_rules.alert import Alert
from exporters.alert_rules.files import annotations_of
from telemetry.settings import Settings
from tests.alert_rules.collected import ALERTS
from tests.alertmanager import RunningAlertmanager

RULES: Final = {alert.name: alert for alert in ALERTS}
LINKS: Final = Settings(
    runbooks_url="https://docs.example.com/runbooks", grafana_url="https://grafana.example.com"
)


def raise_alerts(alertmanager: RunningAlertmanager, *names: str, **labels: str) -> None:
    """Send alerts as Prometheus does: with the labels of their rules, and an end that it moves on."""
    now = datetime.now(UTC)
    alerts = [
        {
            "labels": _labels(RULES[name]) | labels,
            "annotations": annotations_of(RULES[name], LINKS),
            "startsAt": now.isoformat(),
            "endsAt": (now + timedelta(minutes=4)).isoformat(),
            "generatorURL": "http://prometheus:9090/graph",
        }
        for name in names
    ]
    body = json.dumps(alerts).encode()
    headers = {"Content-Type": "application/json"}
    urlopen(Request(f"{alertmanager.url}/api/v2/alerts", body, headers), timeout=60).close()


def receiver(name: str) -> str:
    """Return the receiver that an alert goes to."""
    alert = RULES[name]
    if name == "Watchdog":
        return "watchdog"
    if alert.severity == "warning":
        return "channel" if alert.service == Settings().alert_job else "platform"
    return "page" if alert.severity == "critical" else "nowhere"


def _labels(alert: Alert) -> dict[str, str]:
    return {
        "alertname": alert.name,
        "severity": alert.severity,
        "service": alert.service,
        "job": alert.service,
    }
