"""The rules as YAML.

The few shapes that rules have need no library: text in double quotes as in JSON, and expressions as blocks,
which stay as legible as they are in the code.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Final

from telemetry.settings import Settings

from .alert import Alert, Group, Recording
from .groups import groups

HEAD: Final = "# Written by `flask telemetry assets`: change the settings, not this file."


def files(settings: Settings) -> dict[str, str]:
    """Return the contents of the rule files, by name."""
    return {f"{group.name}.yml": text(group, settings) for group in groups(settings)}


def text(group: Group, settings: Settings) -> str:
    """Return the YAML of a group."""
    lines = [HEAD, "groups:", f"  - name: {group.name}", f"    interval: {duration(group.interval_seconds)}"]
    lines.append("    rules:")
    for recording in group.recordings:
        lines += _recording(recording)
    for alert in group.alerts:
        lines += _alert(alert, settings)
    return "".join(f"{line}\n" for line in lines)


def annotations_of(alert: Alert, settings: Settings) -> dict[str, str]:
    """Return the annotations of an alert."""
    return {
        "summary": alert.summary,
        "description": alert.description,
        "runbook_url": f"{settings.runbooks_url.rstrip('/')}/{alert.name}.md",
        "dashboard_url": f"{settings.grafana_url.rstrip('/')}/d/{alert.dashboard}",
    }


def duration(seconds: int) -> str:
    """Return a duration as Prometheus writes it."""
    for unit, length in (("d", 86400), ("h", 3600), ("m", 60)):
        if seconds and seconds % length == 0:
            return f"{seconds // length}{unit}"
    return f"{seconds}s"


def _recording(recording: Recording) -> Iterator[str]:
    yield f"      - record: {recording.name}"
    yield from _block("expr", recording.expression)


def _alert(alert: Alert, settings: Settings) -> Iterator[str]:
    yield f"      - alert: {alert.name}"
    yield from _block("expr", alert.expression)
    if alert.for_seconds:
        yield f"        for: {duration(alert.for_seconds)}"
    else:
        yield f"        # No `for`: {alert.at_once}"
    if alert.keep_seconds:
        yield f"        keep_firing_for: {duration(alert.keep_seconds)}"
    yield "        labels:"
    yield f"          severity: {alert.severity}"
    yield f"          service: {_quoted(alert.service)}"
    yield "        annotations:"
    for name, value in annotations_of(alert, settings).items():
        yield f"          {name}: {_quoted(value)}"


def _block(name: str, value: str) -> Iterator[str]:
    yield f"        {name}: |"
    yield from (f"          {line}" for line in value.splitlines())


def _quoted(value: str) -> str:
    return json.dumps(value, ensure_ascii=False)
