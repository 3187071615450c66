"""Write the dashboards; `python -m grafana.write` does it, and `make dashboards` runs that."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from .boards.all import BOARDS

FOLDER: Final = Path(__file__).parent / "dashboards"


def files() -> dict[str, str]:
    """Return the contents of all files, by name."""
    return {board.file_name: board.json() for board in BOARDS}


def write(folder: Path = FOLDER) -> None:
    """Write all files; those of dashboards that are gone are deleted."""
    folder.mkdir(parents=True, exist_ok=True)
    contents = files()
    for path in folder.glob("*.json"):
        if path.name not in contents:
            path.unlink()
    for name, content in contents.items():
        (folder / name).write_text(content, encoding="utf-8")


if __name__ == "__main__":
    write()
