"""What is wrong in the months: 20 incidents, each with the alerts that must follow, and why."""

from __future__ import annotations

from typing import Final

from . import calls, money, platform, telemetry, work
from .incident import Incident

_MODULES: Final = (calls, money, platform, telemetry, work)
INCIDENTS: Final[tuple[Incident, ...]] = tuple(
    sorted(
        (incident for module in _MODULES for incident in module.INCIDENTS),
        key=lambda incident: incident.begin,
    )
)
"""In the order in which they begin."""
