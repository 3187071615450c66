"""Everything that ``flask telemetry assets`` writes, by the path of the file."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Final

from exporters.alert_rules import files as rules
from telemetry.settings import Settings

from . import kubernetes, shipped
from .host_values import fill
from .targets import CONFIGURATION, with_targets

_OTHER_PAGE: Final = re.compile(r"\[([^\]]+)\]\(\.\./[^)]*\)")
"""A link to a page that is not written."""


def contents(settings: Settings) -> dict[str, str]:
    """Return the contents of all files, with the values of the settings."""
    return dict(sorted(_contents(settings)))


def _contents(settings: Settings) -> Iterator[tuple[str, str]]:
    for name, text in dashboards(settings).items():
        yield f"{shipped.DASHBOARDS}/{name}", text
        yield f"kubernetes/dashboards/{name.removesuffix('.json')}.yaml", kubernetes.dashboard(name, text)
    for name, text in rules.files(settings).items():
        yield f"{shipped.RULES}/{name}", text
        yield f"kubernetes/rules/{name.removesuffix('.yml')}.yaml", kubernetes.rules(name, text)
    yield CONFIGURATION, with_targets(shipped.text(CONFIGURATION), settings)
    for name in shipped.names(*shipped.COPIED):
        yield name, shipped.text(name)
    for name in shipped.names(f"{shipped.RUNBOOKS}/*.md"):
        yield name, _OTHER_PAGE.sub(r"\1", shipped.text(name))


def dashboards(settings: Settings) -> dict[str, str]:
    """Return the dashboards with the values of the settings, by the names of their files."""
    places: dict[str, dict[str, str]] = json.loads(shipped.text(shipped.PLACES))
    found = {}
    for path in shipped.names(f"{shipped.DASHBOARDS}/*.json"):
        name = path.rpartition("/")[2]
        dashboard = json.loads(shipped.text(path))
        fill(dashboard, places[name], settings)
        found[name] = as_file(dashboard)
    return found


def as_file(part: object) -> str:
    """Return JSON as it is written to files: the same every time."""
    return json.dumps(part, sort_keys=True, indent=2, ensure_ascii=False) + "\n"
