"""All cases, and the rules that they are about."""

from __future__ import annotations

from collections.abc import Sequence

from exporters.alert_rules.alert import Alert, Group
from exporters.alert_rules.groups import groups
from telemetry.settings import Settings
from tests.alert_rules.case import Case
from tests.alert_rules.cases import (
    calls,
    collector,
    failures,
    jobs,
    money,
    pipeline,
    platform,
    stages,
    usual_days,
    watchdog,
)

MODULES = (money, jobs, failures, stages, usual_days, calls, pipeline, collector, platform, watchdog)
CASES = [case for module in MODULES for case in module.CASES]
GROUPS = groups(Settings())
ALERTS = [alert for group in GROUPS for alert in group.alerts]


def trials() -> dict[str, tuple[Group, Alert, Sequence[Case]]]:
    """Return by alert its group, itself, and its cases."""
    return {
        alert.name: (group, alert, [case for case in CASES if case.alert == alert.name])
        for group in GROUPS
        for alert in group.alerts
    }
