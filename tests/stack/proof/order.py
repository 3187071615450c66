"""Whether each service started only when what it needs was ready, by the events of the engine."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from tests.stack import files

READY: Final = {
    "service_healthy": ("health_status: healthy",),
    "service_completed_successfully": ("die",),
    "service_started": ("start",),
}
"""The event after which a dependency is met, by its condition."""
LABEL: Final = "com.docker.compose.service"


def out_of_order(events: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a line for each service whose first start came before something it depends on was ready."""
    started: dict[str, int] = {}
    ready: dict[tuple[str, str], int] = {}
    for event in events:
        attributes = event["Actor"]["Attributes"]
        if LABEL not in attributes:  # a step of building an image
            continue
        name, what, when = attributes[LABEL], event["Action"], event["timeNano"]
        if what == "start":
            started.setdefault(name, when)
        if what == "die" and attributes.get("exitCode") != "0":
            continue
        for condition, meant in READY.items():
            if what in meant:
                ready.setdefault((name, condition), when)
    late = []
    for name, when in started.items():
        for other, how in files.services()[name].get("depends_on", {}).items():
            if other not in started and not how.get("required", True):
                continue
            if ready.get((other, how["condition"]), when + 1) > when:
                late.append(f"{name} started before {other} was ready ({how['condition']})")
    return late
