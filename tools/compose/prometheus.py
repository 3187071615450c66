"""Write prometheus/compose.yml: the configuration of Prometheus with the addresses of docker-compose.yml.

Prometheus reads no environment variables, so it takes a file of its own; `make docs` runs this.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

FOLDER: Final = Path(__file__).resolve().parents[2] / "prometheus"
SOURCE: Final = FOLDER / "prometheus.yml"
FILE: Final = FOLDER / "compose.yml"
ALERTMANAGER: Final = "127.0.0.1:9093"
COLLECTOR: Final = "127.0.0.1:8888"
ADDRESSES: Final = {ALERTMANAGER: "alertmanager:9093", COLLECTOR: "collector:8888"}
"""The addresses in the configuration, and those of the same programs in docker-compose.yml."""
HEAD: Final = """\
# prometheus.yml with the addresses of docker-compose.yml. Written by `make docs`: change prometheus.yml.
"""


def page() -> str:
    """Return the file."""
    return HEAD + with_addresses(SOURCE.read_text(encoding="utf-8"), ADDRESSES)


def with_addresses(text: str, addresses: dict[str, str]) -> str:
    """Return a configuration with other addresses.

    Raises:
        ValueError: if one of them is not in it.
    """
    for old, new in addresses.items():
        if f'"{old}"' not in text:
            raise ValueError(f"{old} is not in {SOURCE.name}")
        text = text.replace(f'"{old}"', f'"{new}"')
    return text


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
