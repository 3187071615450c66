"""The group of commands: what it knows of them without importing them is true of them."""

from __future__ import annotations

import subprocess
import sys

import click
import pytest
from click.testing import CliRunner

from telemetry.cli.group import SECTIONS, cli

COMMANDS = {name: command for commands in SECTIONS.values() for name, command in commands.items()}

WITHOUT_COMMANDS = """
import sys
import pkgutil
import telemetry.cli
from telemetry.cli.group import SECTIONS, cli

cli(["--help"], standalone_mode=False)
modules = {command.place.split(":")[0] for commands in SECTIONS.values() for command in commands.values()}
assert modules <= {module.name for module in pkgutil.iter_modules(telemetry.cli.__path__)}
print("loaded:", *(name for name in modules if f"telemetry.cli.{name}" in sys.modules))
print("libraries:", *({"flask", "sqlalchemy", "rich", "exporters"} & {*sys.modules}))
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_short_help(name: str) -> None:
    """It is the first sentence of the command's own help, and the name is the command's."""
    command = COMMANDS[name].load()

    assert command.name == name
    # Some versions of click leave out the period.
    assert f"{command.get_short_help_str(limit=1000).rstrip('.')}." == COMMANDS[name].help


def test_help_imports_no_command() -> None:
    """All commands are listed, and no module of theirs and no library is imported."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_COMMANDS], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["loaded:", "libraries:"]
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert {*COMMANDS} <= listed


def test_sections() -> None:
    """Commands stand below what they are for, all in one column."""
    lines = CliRunner().invoke(cli, ["--help"]).output.splitlines()
    begin = lines.index("Daily use:")
    titles = [line for line in lines[begin:] if line and not line.startswith(" ")]

    assert titles == ["Daily use:", "Money:", "Data:", "Operations:", "Database:"]
    assert lines[lines.index("Database:") + 1].split()[0] == "db"
    rows = [line for line in lines[begin:] if line.startswith("  ")]
    assert len({len(row) - len(row[2:].lstrip("abcdefghijklmnopqrstuvwxyz-").lstrip()) for row in rows}) == 1


def test_commands_of_commands() -> None:
    """The help of one comes from the command itself; those of a group are its own."""
    done = CliRunner().invoke(cli, ["spool", "--help"])

    assert done.exit_code == 0
    assert "recover" in done.output


@pytest.mark.parametrize(
    ("word", "said"),
    [("reports", "No such command 'reports'. Did you mean 'report'?"), ("xyz", "No such command 'xyz'.")],
)
def test_a_command_that_does_not_exist(word: str, said: str) -> None:
    """One like it is named, if there is any."""
    done = CliRunner().invoke(cli, [word])

    assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, f"Error: {said}")


def test_completion_knows_all_commands() -> None:
    """A shell completes their names."""
    completed = cli.shell_complete(click.Context(cli), "re")

    assert {item.value for item in completed} >= {"report", "reprice"}
