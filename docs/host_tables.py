"""Write the tables of docs/reference/host-tables.md from what telemetry needs; `make docs` runs it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from exporters.sql.host.needs import NEEDS, Kind
from exporters.sql.host.shape import accepted

PAGE: Final = Path(__file__).parent / "reference" / "host-tables.md"


def page() -> str:
    """Return the page with both tables written anew."""
    text = PAGE.read_text(encoding="utf-8")
    for name, lines in (("columns", _columns()), ("types", _types())):
        before, begin, rest = text.partition(f"<!-- {name} -->\n")
        _, end, after = rest.partition("<!-- end -->")
        assert begin and end, f"{PAGE} needs <!-- {name} --> … <!-- end -->"
        text = "".join((before, begin, *(f"{line}\n" for line in lines), end, after))
    return text


def _columns() -> Iterator[str]:
    yield "| column | type | used for | without it |"
    yield "|---|---|---|---|"
    for need in NEEDS:
        without = need.without or "**Refused.**"
        yield f"| `{need.table}.{need.column}` | {need.kind.value} | {need.used_for} | {without} |"


def _types() -> Iterator[str]:
    yield "| type | on PostgreSQL | on SQLite |"
    yield "|---|---|---|"
    for kind in Kind:
        postgresql, sqlite = accepted(kind)
        yield f"| {kind.value} | {', '.join(postgresql)} | {', '.join(sqlite)} |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
