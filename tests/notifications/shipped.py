"""The configuration of Alertmanager that is shipped, and what tests make of it."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).parents[2] / "prometheus" / "alertmanager"
RECEIVERS: Final = FOLDER / "receivers"
ROUTING: Final = (FOLDER / "routing.yml").read_text()
NAMES: Final = ("page", "channel", "platform", "watchdog")
"""The receivers that an operator chooses files for."""


def configuration(*receivers: str) -> str:
    """Return the configuration with some files of receivers, as `cat` makes it."""
    return ROUTING + "".join((RECEIVERS / f"{name}.yml").read_text() for name in receivers)


def hurried(text: str, wait: str) -> str:
    """Return a configuration that forwards alerts soon.

    Args:
        text: the configuration.
        wait: the time that alerts are held back at first.
    """
    times = {"group_wait": wait, "group_interval": "1s", "repeat_interval": "4h"}
    return re.sub(rf"\b({'|'.join(times)}): \w+", lambda found: f"{found[1]}: {times[found[1]]}", text)


def receiving() -> str:
    """Return the configuration with a webhook for each receiver."""
    text = ROUTING
    assert text.endswith("\n  - name: nowhere\n")
    return text + _webhook("nowhere") + "".join(f"  - name: {name}\n{_webhook(name)}" for name in NAMES)


def _webhook(name: str) -> str:
    return f'    webhook_configs: [{{url: "{{webhook}}/{name}", send_resolved: true}}]\n'
