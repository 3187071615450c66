"""The alert that is always active: where it stops arriving, alerting is broken."""

from __future__ import annotations

from telemetry.settings import Settings

from .. import dashboards
from ..alert import Alert, Group


def watchdog(_: Settings) -> Group:
    """Return the alert that is always active."""
    alert = Alert(
        name="Watchdog",
        severity="info",
        expression="vector(1)",
        summary="Alerting works.",
        description="Always active, with the value {{ $value }}: if it stops arriving, alerts are lost.",
        dashboard=dashboards.TELEMETRY,
        service="prometheus",
        at_once="it is always active.",
    )
    return Group("watchdog", 60, (alert,))
