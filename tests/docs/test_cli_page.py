"""The page of the commands is what their help says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import click
from click.testing import CliRunner

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "cli.py"))
PAGE = SCRIPT["PAGE"].read_text()


def test_the_page_is_up_to_date() -> None:
    """What stands in the repository is what the commands say; `make docs` writes it."""
    assert SCRIPT["page"]() == PAGE, "run `make docs`"


def test_every_command_is_on_it() -> None:
    """Also those of groups in the group, with every option."""
    root = click.Context(SCRIPT["group"](), info_name=SCRIPT["NAME"])
    found = {context.command_path: context.command for context in SCRIPT["commands"](root)}
    headings = re.findall(r"^##+ `(.*)`$", PAGE, re.MULTILINE)

    assert headings == list(found)
    assert {"flask telemetry report", "flask telemetry db upgrade", "flask telemetry spool drop"} <= set(
        found
    )
    for path, command in found.items():
        section = PAGE.partition(f"# `{path}`\n")[2].partition("\n```\n")[0]
        options = {word for parameter in command.params for word in getattr(parameter, "opts", ())}
        assert {word for word in options if word.startswith("--")} <= set(re.findall(r"--[\w-]+", section))


def test_it_says_what_the_terminal_says() -> None:
    """The help of a command, word by word."""
    shown = CliRunner().invoke(SCRIPT["group"](), ["export", "--help"], prog_name=SCRIPT["NAME"]).output
    section = PAGE.partition("# `flask telemetry export`\n\n```text\n")[2].partition("```")[0]

    assert section.split() == shown.split()
