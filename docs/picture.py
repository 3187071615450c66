"""Draw docs/report.svg, the README's first picture, from its demo output; `make docs` runs it."""

from __future__ import annotations

import re
from html import escape
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).parents[1]
PICTURE: Final = ROOT / "docs" / "report.svg"
COLUMN: Final = 7.8
"""Width of a character, which ``textLength`` enforces for every font."""
LINE: Final = 19
MARGIN: Final = 20
HEAD: Final = """\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width:g} {height:g}" role="img" aria-label="{label}">
<style>
  .frame {{ fill: #ffffff; stroke: #d0d7de }}
  text {{ font: 13px ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; fill: #1f2328 }}
  .title {{ font-weight: 700 }}
  .head {{ fill: #59636e }}
  .good {{ fill: #1a7f37 }}
  @media (prefers-color-scheme: dark) {{
    .frame {{ fill: #0d1117; stroke: #3d444d }}
    text {{ fill: #e6edf3 }}
    .head {{ fill: #9198a1 }}
    .good {{ fill: #3fb950 }}
  }}
</style>
<rect class="frame" x="0.5" y="0.5" width="{right:g}" height="{bottom:g}" rx="8"/>
"""
LABEL: Final = "One analysis by stage, with calls, attempts, 429 answers, tokens and dollars, and the totals"
TITLES: Final = ("Analysis ", "Totals")
HEADS: Final = ("$ ", "run ", "SQL ")
COMMAND: Final = "$ make demo"
"""What the reader would type to get these lines."""


def output(readme: str) -> list[str]:
    """Return the lines of the demo that the README shows.

    Raises:
        ValueError: It shows none.
    """
    found = re.search(r"<!-- demo output -->\n```text\n(.*?)```", readme, re.DOTALL)
    if found is None:
        raise ValueError("README.md needs <!-- demo output --> and a block of text below it")
    return found[1].splitlines()


def picture(lines: list[str]) -> str:
    """Return lines of a terminal, below the command, as an SVG in light and dark mode."""
    lines = [COMMAND, "", *lines]
    width = max(map(len, lines)) * COLUMN + 2 * MARGIN
    height = len(lines) * LINE + 2 * MARGIN
    head = HEAD.format(width=width, height=height, right=width - 1, bottom=height - 1, label=LABEL)
    texts = [text for number, line in enumerate(lines) for text in _texts(number, line)]
    return "\n".join([head.rstrip(), *texts, "</svg>", ""])


def _texts(number: int, line: str) -> list[str]:
    """Return an element for each cell of a line, in its column."""
    y = MARGIN + number * LINE + 14
    return [
        f'<text class="{_style(line, cell[0])}" x="{MARGIN + cell.start() * COLUMN:g}" y="{y}"'
        f' textLength="{len(cell[0]) * COLUMN:g}">{escape(cell[0])}</text>'
        for cell in re.finditer(r"\S+(?: \S+)*", line)
    ]


def _style(line: str, cell: str) -> str:
    if cell.startswith("✓"):
        return "good"
    if line.startswith(TITLES):
        return "title"
    return "head" if line.lstrip().startswith(HEADS) else "cell"


if __name__ == "__main__":
    PICTURE.write_text(picture(output((ROOT / "README.md").read_text(encoding="utf-8"))), encoding="utf-8")
