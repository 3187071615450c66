"""The commands in the documentation exist, with their options."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest

from telemetry.cli.group import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]


def shown() -> Iterator[tuple[str, str]]:
    """Yield page and command line of each command, shown at a prompt or within a sentence."""
    for page in PAGES:
        for line in re.findall(r"(?:^\$ |`)(flask [^`\n]*telemetry [^`\n#]*)", page.read_text(), re.M):
            yield page.name, line.strip()


@pytest.mark.parametrize(("page", "line"), sorted(set(shown())))
def test_shown_command_exists(page: str, line: str) -> None:
    """Each of its words is a command, or an option of that command."""
    words = shlex.split(line.split("telemetry", 1)[1].replace("…", ""))
    command: click.Command = cli
    while words and isinstance(command, click.Group):
        names = words.pop(0).split("|")
        context = click.Context(command)
        commands = [command.get_command(context, name) for name in names]
        assert None not in commands, f"{page}: {line}"
        assert commands[0] is not None
        command = commands[0]
    known = {option for parameter in command.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known, f"{page}: {line}"


def test_shown_commands_are_recognised() -> None:
    """There are some about the database, prices and the spool; else the test above would check nothing."""
    assert {line.split()[2] for _, line in shown() if line.startswith("flask telemetry")} >= {
        "db",
        "reprice",
        "spool",
    }
