"""The addresses in the configuration of Prometheus, which reads no environment variables."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Final

from telemetry.settings import Settings

CONFIGURATION: Final = "prometheus/prometheus.yml"


def with_targets(text: str, settings: Settings) -> str:
    """Return a configuration with the addresses of the settings instead of the default ones.

    Raises:
        ValueError: if a default one is not in it.
    """
    default = Settings()
    for old, new in (
        (default.alertmanager_targets, settings.alertmanager_targets),
        (default.collector_targets, settings.collector_targets),
    ):
        if _targets(old) not in text:
            raise ValueError(f"{_targets(old)} is not in {CONFIGURATION}")
        text = text.replace(_targets(old), _targets(new))
    return text


def _targets(addresses: Iterable[str]) -> str:
    return f"targets: {json.dumps([*addresses])}"
