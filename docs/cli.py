"""Write docs/reference/cli.md from the help of the commands; `make docs` runs it."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Final

import click

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "reference" / "cli.md"
NAME: Final = "flask telemetry"
WIDTH: Final = 100
"""Columns of the help, independent of the terminal."""
HEAD: Final = f"""# Commands

For operators and on-call: the help of each command of `{NAME}`, with all its options.

Run the commands where the application runs, with its settings: `flask --app yourapp telemetry …`, or with
`FLASK_APP` set. `make docs` writes this page from their `--help`.
"""


def group() -> click.Group:
    """Return the group of commands to which our entry point for Flask leads."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    module, _, name = project["entry-points"]["flask.commands"]["telemetry"].partition(":")
    found = getattr(import_module(module), name)
    assert isinstance(found, click.Group), found
    return found


def page() -> str:
    """Return the page: a heading and the help of each command."""
    root = click.Context(group(), info_name=NAME, terminal_width=WIDTH, max_content_width=WIDTH)
    parts = [HEAD, _help(root)]
    for context in commands(root):
        level = "#" * (1 + len(context.command_path.split()) - len(NAME.split()))
        parts.append(f"{level} `{context.command_path}`\n\n{_help(context)}")
    return "\n".join(parts)


def commands(parent: click.Context) -> Iterator[click.Context]:
    """Yield the commands of a group in the order of the help, each subgroup before its commands."""
    if not isinstance(parent.command, click.Group):
        return
    for name in parent.command.list_commands(parent):
        command = parent.command.get_command(parent, name)
        if command is not None and not command.hidden:
            context = click.Context(command, parent, name, terminal_width=WIDTH, max_content_width=WIDTH)
            yield context
            yield from commands(context)


def _help(context: click.Context) -> str:
    lines = (line.rstrip() for line in context.get_help().splitlines())
    return "\n".join(["```text", *lines, "```", ""])


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
