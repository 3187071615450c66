"""The page of the commands equals their help."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import click
from click.testing import CliRunner

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "cli.py"))
PAGE = SCRIPT["PAGE"].read_text()


def test_page_is_up_to_date() -> None:
    """The committed page is what `make docs` writes."""
    assert SCRIPT["page"]() == PAGE, "run `make docs`"


def test_page_has_every_command_and_option() -> None:
    """It includes the commands of nested groups."""
    root = click.Context(SCRIPT["group"](), info_name=SCRIPT["NAME"])
    commands = {context.command_path: context.command for context in SCRIPT["commands"](root)}
    headings = re.findall(r"^##+ `(.*)`$", PAGE, re.MULTILINE)

    assert headings == list(commands)
    assert {"flask telemetry report", "flask telemetry db upgrade", "flask telemetry spool drop"} <= set(
        commands
    )
    for path, command in commands.items():
        section = PAGE.partition(f"# `{path}`\n")[2].partition("\n```\n")[0]
        options = {word for parameter in command.params for word in getattr(parameter, "opts", ())}
        assert {word for word in options if word.startswith("--")} <= set(re.findall(r"--[\w-]+", section))


def test_page_has_the_help_of_the_terminal() -> None:
    """The help of a command is the same, word by word."""
    shown = CliRunner().invoke(SCRIPT["group"](), ["export", "--help"], prog_name=SCRIPT["NAME"]).output
    section = PAGE.partition("# `flask telemetry export`\n\n```text\n")[2].partition("```")[0]

    assert section.split() == shown.split()
