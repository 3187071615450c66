"""All cases, and the rules that they are about."""

from __future__ import annotations

from exporters.alert_rules.groups import groups
from telemetry.settings import Settings
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
from tests.alert_rules.promtool import Trial

MODULES = (money, jobs, failures, stages, usual_days, calls, pipeline, collector, platform, watchdog)
CASES = [case for module in MODULES for case in module.CASES]
GROUPS = groups(Settings())
ALERTS = [alert for group in GROUPS for alert in group.alerts]


def trials() -> dict[str, Trial]:
    """Return the trial of each alert by its name."""
    return {
        alert.name: Trial(alert, [case for case in CASES if case.alert == alert.name], group.recordings)
        for group in GROUPS
        for alert in group.alerts
    }
