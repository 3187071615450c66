"""The configuration of Alertmanager that is shipped, and what tests make of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

import yaml

FOLDER: Final = Path(__file__).parents[2] / "prometheus" / "alertmanager"
RECEIVERS: Final = FOLDER / "receivers"
ROUTING: Final = (FOLDER / "routing.yml").read_text()


def configuration(*receivers: str) -> str:
    """Return the configuration with some files of receivers, as `cat` makes it."""
    return ROUTING + "".join((RECEIVERS / f"{name}.yml").read_text() for name in receivers)


def parsed(*receivers: str) -> dict[str, Any]:
    """Return the same as what YAML means."""
    content: dict[str, Any] = yaml.safe_load(configuration(*receivers))
    return content


def routes(route: dict[str, Any]) -> list[dict[str, Any]]:
    """Return a route with all below it."""
    return [route, *(each for child in route.get("routes", ()) for each in routes(child))]


def receiving(wait: str) -> str:
    """Return the configuration with a webhook for each receiver, which forwards alerts soon.

    Args:
        wait: the time that alerts are held back at first.
    """
    content = parsed("none")
    for route in routes(content["route"]):
        route |= {"group_wait": wait, "group_interval": "1s", "repeat_interval": "4h"}
    for receiver in content["receivers"]:
        address = f"{{webhook}}/{receiver['name']}"
        receiver["webhook_configs"] = [{"url": address, "send_resolved": True}]
    return yaml.safe_dump(content)
