"""The files of the stack, parsed: docker-compose.yml with its defaults, `.env.example`, provisioning."""

from __future__ import annotations

import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]

from exporters.assets.host_values import filled
from grafana.parts.queries import SOURCES
from telemetry.settings import Settings

ROOT: Final = Path(__file__).resolve().parents[2]
TEXT: Final = (ROOT / "docker-compose.yml").read_text()
EXAMPLE: Final = (ROOT / ".env.example").read_text()
PROVISIONING: Final = ROOT / "grafana" / "provisioning"
VARIABLE: Final = re.compile(r"(?<!\$)\$\{(\w+)(?::([-?])([^${}]*))?\}")
"""A setting in docker-compose.yml: its name, and its default, without others in it, or the error."""
SCRATCH: Final = ("collector",)
"""Services in whose images nothing could check their health."""

Yaml = dict[str, Any]


def documented() -> dict[str, str]:
    """Return the settings in `.env.example`, also those that are commented out, with their values."""
    return dict(re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))


def variables() -> list[tuple[str, str, str]]:
    """Return name, `-` or `?`, and default or error of each setting in docker-compose.yml."""
    found, text = [], TEXT
    while used := VARIABLE.findall(text):
        found += used
        text = VARIABLE.sub(
            lambda match: documented()[match[1]], text
        )  # now the defaults that had one are complete
    return found


@cache
def compose() -> Yaml:
    """Return docker-compose.yml with the values of `.env.example`; what is empty there is `secret`."""
    return parsed(OPENAI_BASE_URL=documented()["OPENAI_BASE_URL"])


def parsed(**settings: str) -> Yaml:
    """Return docker-compose.yml with settings; others have their defaults, and what has none is `secret`."""

    def value(found: re.Match[str]) -> str:
        default = found[3] if found[2] == "-" else documented()[found[1]] or "secret"
        return settings.get(found[1], default)

    completed = TEXT
    while VARIABLE.search(completed):
        completed = VARIABLE.sub(value, completed)
    whole: Yaml = yaml.safe_load(completed.replace("$$", "$"))
    return whole


def services() -> dict[str, Yaml]:
    """Return the services by name."""
    found: dict[str, Yaml] = compose()["services"]
    return found


def environment(service: str) -> dict[str, str]:
    """Return the environment variables of a service that have a value by default."""
    found: dict[str, str | None] = services()[service].get("environment", {})
    return {name: value for name, value in found.items() if value is not None}


def passed(service: str) -> set[str]:
    """Return the environment variables that a service has only if `.env` sets them."""
    return set(services()[service].get("environment", {})) - environment(service).keys()


def mounts(service: str) -> dict[str, str]:
    """Return what is mounted in a service, by the path there."""
    listed = (mount.split(":") for mount in services()[service].get("volumes", []))
    return {target: source for source, target, *_ in listed}


def data_sources() -> dict[str, Yaml]:
    """Return the provisioned data sources by uid."""
    file = PROVISIONING / "datasources" / "analysis.yml"
    return {source["uid"]: source for source in load(file)["datasources"]}


def dashboard_sources() -> dict[str, tuple[str, str]]:
    """Return uid and type of the data source that each variable of our dashboards names."""
    return {
        source.variable: (
            str(filled(f"{source.uid}", Settings())),
            str(filled(source.plugin, Settings())),
        )
        for source in SOURCES
    }


def load(file: Path) -> Yaml:
    """Return the contents of a file of YAML."""
    parsed: Yaml = yaml.safe_load(file.read_text())
    return parsed


def strings(value: object) -> list[str]:
    """Return every text in a structure."""
    if isinstance(value, dict):
        return [text for part in value.values() for text in strings(part)]
    if isinstance(value, list):
        return [text for part in value for text in strings(part)]
    return [value] if isinstance(value, str) else []


def grafana_expanded(text: str, variables: dict[str, str]) -> str:
    """Return a text of a provisioning file as Grafana reads it: variables filled in, and `$$` a `$`."""
    return re.sub(
        r"\$\$|\$\{(\w+)\}|\$(\w+)",
        lambda found: "$" if found[0] == "$$" else variables[found[1] or found[2]],
        text,
    )
