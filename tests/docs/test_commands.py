"""The commands that the documentation shows are commands there are, with options they take."""

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
    """Page and command line of everything that is shown at a prompt, or named in a sentence."""
    for page in PAGES:
        for line in re.findall(r"(?:^\$ |`)(flask [^`\n]*telemetry [^`\n#]*)", page.read_text(), re.M):
            yield page.name, line.strip()


@pytest.mark.parametrize(("page", "line"), sorted(set(shown())))
def test_a_command_that_is_shown(page: str, line: str) -> None:
    """Each word is a command or an option of its command."""
    words = shlex.split(line.split("telemetry", 1)[1].replace("…", ""))
    found: click.Command = cli
    while words and isinstance(found, click.Group):
        names = words.pop(0).split("|")
        context = click.Context(found)
        commands = [found.get_command(context, name) for name in names]
        assert None not in commands, f"{page}: {line}"
        assert commands[0] is not None
        found = commands[0]
    known = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in words if word.startswith("--")} <= known, f"{page}: {line}"


def test_commands_are_shown_at_all() -> None:
    """The pages speak of the database, of prices and of the spool."""
    assert {line.split()[2] for _, line in shown() if line.startswith("flask telemetry")} >= {
        "db",
        "reprice",
        "spool",
    }
