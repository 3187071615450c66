"""Write the dashboards; `python -m grafana.write` does it, and `make dashboards` runs that."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from exporters.assets.contents import as_file
from exporters.assets.host_values import marked

from .boards.all import boards

FOLDER: Final = Path(__file__).parent / "dashboards"
PLACES: Final = FOLDER.parent / "host_values.json"
"""Where values of the host are, for who writes the dashboards without the builders."""


def files() -> dict[str, str]:
    """Return the contents of all files, by name."""
    return {board.file_name: board.json() for board in boards()}


def places() -> str:
    """Return the texts with values of the host, by file and place."""
    return as_file({board.file_name: marked(board.parts()) for board in boards()})


def write(folder: Path = FOLDER) -> None:
    """Write all files; those of dashboards that are gone are deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = files()
    for path in folder.glob("*.json"):
        if path.name not in contents:
            path.unlink()
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")
    PLACES.write_text(places(), encoding="utf-8")


if __name__ == "__main__":
    write()
