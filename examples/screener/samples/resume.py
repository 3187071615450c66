"""A résumé as data: its content and layout, independent of the file type."""

import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent


@dataclass(frozen=True)
class Entry:
    """One position, project or course, with its dates."""

    heading: str
    when: str = ""
    text: str = ""
    bullets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Section:
    """A titled part: running text, a table of two columns, bullets, dated entries, or several of them."""

    title: str
    text: str = ""
    rows: tuple[tuple[str, str], ...] = ()
    bullets: tuple[str, ...] = ()
    entries: tuple[Entry, ...] = ()
    side: bool = False
    """Whether a layout with a sidebar shows it there."""


@dataclass(frozen=True)
class Resume:
    """One person's résumé; the job description has the same form."""

    name: str
    headline: str
    contact: tuple[str, ...]
    sections: tuple[Section, ...] = field(default=())
    file: str = ""
    layout: str = ""


def load_people() -> list[Resume]:
    """Return the people of ``people/*.toml``, in the order of the file names."""
    return [load(path) for path in sorted((HERE / "people").glob("*.toml"))]


def load(path: Path) -> Resume:
    """Read one résumé; an unknown field is a TypeError that names it."""
    data = tomllib.loads(path.read_text(encoding="utf-8"))
    data["contact"] = tuple(data["contact"])
    data["sections"] = tuple(_section(section) for section in data["sections"])
    return Resume(**data)


def _section(data: dict[str, Any]) -> Section:
    data["text"] = data.get("text", "").strip()
    data["rows"] = tuple((left, right) for left, right in data.get("rows", ()))
    data["bullets"] = tuple(data.get("bullets", ()))
    data["entries"] = tuple(_entry(entry) for entry in data.get("entries", ()))
    return Section(**data)


def _entry(data: dict[str, Any]) -> Entry:
    return Entry(**{**data, "bullets": tuple(data.get("bullets", ()))})
