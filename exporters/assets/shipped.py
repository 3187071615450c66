"""The files that are shipped as they are: in the wheel, or in a checkout of this project."""

from __future__ import annotations

from pathlib import Path
from typing import Final

_IN_WHEEL: Final = Path(__file__).with_name("data")
ROOT: Final = _IN_WHEEL if _IN_WHEEL.is_dir() else Path(__file__).parents[2]
DASHBOARDS: Final = "grafana/dashboards"
PLACES: Final = "grafana/host_values.json"
"""Where values of the host are in the dashboards."""
RULES: Final = "prometheus/rules"
"""Where the rules are written, beside what is shipped."""
RUNBOOKS: Final = "docs/runbooks"
COPIED: Final = (
    "prometheus/alertmanager/**/*.yml",
    "collector/*.yaml",
    "collector/examples/*.yaml",
)
"""What is written as it is: it takes what differs from environment variables, or is an example to adapt."""


def text(name: str) -> str:
    """Return the content of a file, by its path."""
    return (ROOT / name).read_text(encoding="utf-8")


def names(*patterns: str) -> list[str]:
    """Return the paths of the files that match."""
    found = {path for pattern in patterns for path in ROOT.glob(pattern)}
    return sorted(path.relative_to(ROOT).as_posix() for path in found)
