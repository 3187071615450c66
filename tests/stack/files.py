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
VARIABLE: Final = re.compile(r"(?<!\$)\$\{(\w+)(?::([-?])([^}]*))?\}")
"""A setting in docker-compose.yml: its name, and its default or what is said without it."""
SCRATCH: Final = ("collector",)
"""Services in whose images nothing could check their health."""

Yaml = dict[str, Any]


def documented() -> dict[str, str]:
    """Return the settings in `.env.example`, also those that are commented out, with their values."""
    return dict(re.findall(r"^(?:# )?([A-Z_]+)=(.*)$", EXAMPLE, re.MULTILINE))


@cache
def compose() -> Yaml:
    """Return docker-compose.yml with the values of `.env.example`; what is empty there is `secret`."""
    values = {name: value or "secret" for name, value in documented().items()}
    values["OPENAI_BASE_URL"] = documented()["OPENAI_BASE_URL"]
    completed = VARIABLE.sub(lambda found: values[found[1]], TEXT).replace("$$", "$")
    parsed: Yaml = yaml.safe_load(completed)
    return parsed


def services() -> dict[str, Yaml]:
    """Return the services by name."""
    found: dict[str, Yaml] = compose()["services"]
    return found


def environment(service: str) -> dict[str, str]:
    """Return the environment variables of a service."""
    found: dict[str, str] = services()[service].get("environment", {})
    return found


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
