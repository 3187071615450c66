"""Write prometheus/compose.yml: the configuration of Prometheus with the addresses of docker-compose.yml.

Prometheus reads no environment variables, so it takes a file of its own; `make docs` runs this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from exporters.assets.targets import with_targets
from telemetry.settings import Settings

FOLDER: Final = Path(__file__).resolve().parents[2] / "prometheus"
SOURCE: Final = FOLDER / "prometheus.yml"
FILE: Final = FOLDER / "compose.yml"
SETTINGS: Final = Settings(alertmanager_targets=("alertmanager:9093",), collector_targets=("collector:8888",))
"""The addresses of docker-compose.yml."""
HEAD: Final = """\
# prometheus.yml with the addresses of docker-compose.yml. Written by `make docs`: change prometheus.yml.
"""


def page() -> str:
    """Return the file."""
    return HEAD + with_targets(SOURCE.read_text(encoding="utf-8"), SETTINGS)


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
