"""All groups of rules."""

from __future__ import annotations

from telemetry.settings import Settings

from .alert import Group
from .calls import calls
from .collector import collector
from .failures import failures
from .jobs import jobs
from .money import money
from .pipeline import pipeline
from .platform import platform
from .stages import stages
from .usual_days import usual_days
from .watchdog import watchdog


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
