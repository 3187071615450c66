"""All groups of rules."""

from __future__ import annotations

from telemetry.settings import Settings

from .alert import Group
from .alerts.calls import calls
from .alerts.collector import collector
from .alerts.failures import failures
from .alerts.jobs import jobs
from .alerts.money import money
from .alerts.pipeline import pipeline
from .alerts.platform import platform
from .alerts.stages import stages
from .alerts.usual_days import usual_days
from .alerts.watchdog import watchdog


def groups(settings: Settings) -> tuple[Group, ...]:
    """Return the rules with the thresholds of the settings."""
    return (
        money(settings),
        jobs(settings),
        failures(settings),
        stages(settings),
        usual_days(settings),
        calls(settings),
        pipeline(settings),
        collector(settings),
        platform(settings),
        watchdog(settings),
    )
