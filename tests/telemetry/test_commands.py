"""The lazy command group: what it says of commands without importing them is true."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from telemetry.cli.group import SECTIONS, cli
from telemetry.cli.options import Period, period_options

COMMANDS = {name: command for commands in SECTIONS.values() for name, command in commands.items()}

WITHOUT_COMMANDS = """
import sys
import pkgutil
import telemetry.cli.commands
from telemetry.cli.group import SECTIONS, cli

cli(["--help"], standalone_mode=False)
modules = {command.place.split(":")[0] for commands in SECTIONS.values() for command in commands.values()}
assert modules <= {module.name for module in pkgutil.iter_modules(telemetry.cli.commands.__path__)}
print("loaded:", *(name for name in modules if f"telemetry.cli.commands.{name}" in sys.modules))
print("libraries:", *({"flask", "sqlalchemy", "rich", "exporters"} & {*sys.modules}))
"""


@pytest.mark.parametrize("name", COMMANDS)
def test_short_help_is_the_commands_own(name: str) -> None:
    """It is the first sentence of the command's help, and the name is the command's."""
    command = COMMANDS[name].load()

    assert command.name == name
    # Some versions of click leave out the period.
    assert f"{command.get_short_help_str(limit=1000).rstrip('.')}." == COMMANDS[name].help


def test_help_imports_no_command() -> None:
    """It lists all commands without importing their modules or any library."""
    done = subprocess.run([sys.executable, "-c", WITHOUT_COMMANDS], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2:] == ["loaded:", "libraries:"]
    listed = {line.split()[0] for line in done.stdout.splitlines() if line.startswith("  ")}
    assert {*COMMANDS} <= listed


def test_help_lists_commands_in_sections() -> None:
    """The sections are in order, and all descriptions are in one column."""
    lines = CliRunner().invoke(cli, ["--help"]).output.splitlines()
    begin = lines.index("Daily use:")
    titles = [line for line in lines[begin:] if line and not line.startswith(" ")]

    assert titles == ["Daily use:", "Money:", "Data:", "Operations:", "Database:"]
    assert lines[lines.index("Database:") + 1].split()[0] == "db"
    rows = [line for line in lines[begin:] if line.startswith("  ")]
    assert len({len(row) - len(row[2:].lstrip("abcdefghijklmnopqrstuvwxyz-").lstrip()) for row in rows}) == 1


def test_subcommands_are_listed() -> None:
    """The help of a nested group lists its commands."""
    done = CliRunner().invoke(cli, ["spool", "--help"])

    assert done.exit_code == 0
    assert "recover" in done.output


@pytest.mark.parametrize(
    ("word", "expected"),
    [("reports", "No such command 'reports'. Did you mean 'report'?"), ("xyz", "No such command 'xyz'.")],
)
def test_unknown_command_is_reported(word: str, expected: str) -> None:
    """A command with a similar name is suggested, if there is one."""
    done = CliRunner().invoke(cli, [word])

    assert (done.exit_code, done.stderr.splitlines()[-1]) == (2, f"Error: {expected}")


def test_completion_knows_all_commands() -> None:
    """A shell completes their names from the beginning of a word."""
    completed = cli.shell_complete(click.Context(cli), "re")

    assert {item.value for item in completed} >= {"report", "reprice"}


def leaves(command: click.Command, *names: str) -> Iterator[tuple[str, set[str]]]:
    """Yield all commands of a group, with their options."""
    if isinstance(command, click.Group):
        context = click.Context(command)
        for name in command.list_commands(context):
            subcommand = command.get_command(context, name)
            assert subcommand is not None
            yield from leaves(subcommand, *names, name)
    else:
        yield " ".join(names), {option for parameter in command.params for option in parameter.opts}


OPTIONS = dict(leaves(cli))
PERIOD = {"--days", "--since", "--until"}


def test_every_command_that_needs_a_database_takes_its_url() -> None:
    """Three need none."""
    without = {name for name, options in OPTIONS.items() if "--database-url" not in options}

    assert without == {"assets", "catalogue", "unused"}


@pytest.mark.parametrize(
    "words",
    [
        *(["report", "--json"], ["insights"], ["export"], ["archive", "archived", "--older-than", "1"]),
        *(["health-check"], ["validate"], ["reprice", "--days", "7"], ["erase", "--user", "1"]),
        *(["import-history"], ["db", "current"], ["spool", "list"], ["spool", "recover"], ["spool", "retry"]),
    ],
    ids=" ".join,
)
def test_the_url_of_a_database_is_enough(
    words: list[str], migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Commands then need neither an application nor a setting."""
    shutil.copy(migrated_sqlite, tmp_path / "host.sqlite")
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TELEMETRY_DATABASE_URL", raising=False)
    monkeypatch.setenv("TELEMETRY_SPOOL_DIR", str(tmp_path / "spool"))
    url = f"sqlite:///{tmp_path}/host.sqlite"

    without = CliRunner().invoke(cli, words)
    with_url = CliRunner().invoke(cli, [*words, "--database-url", url])

    assert (without.exit_code, with_url.exit_code) == (1, 0), with_url.output
    assert "no database: set TELEMETRY_DATABASE_URL or give --database-url" in without.stderr


def test_the_doctor_looks_at_the_database_named(migrated_sqlite: Path, tmp_path: Path) -> None:
    """As if it were in TELEMETRY_DATABASE_URL."""
    shutil.copy(migrated_sqlite, tmp_path / "host.sqlite")
    words = ["doctor", "--no-run", "--json", "--database-url", f"sqlite:///{tmp_path}/host.sqlite"]
    script = f"from telemetry.cli.group import cli; cli({words!r})"
    environment = {name: value for name, value in os.environ.items() if name != "TELEMETRY_DATABASE_URL"}
    done = subprocess.run(
        [sys.executable, "-c", script], cwd=tmp_path, env=environment, capture_output=True, text=True
    )

    checks = json.loads(done.stdout)["checks"]
    (database,) = [check for check in checks if check["subject"] == "database"]
    assert (database["result"], database["text"].partition(",")[0]) == ("good", "reachable")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("report --database-url nonsense", "--database-url is no SQLAlchemy URL, such as postgresql://"),
        ("reprice --days 1 --database-url mysql://a", "--database-url names mysql: rollups need"),
        ("db current --database-url nonsense", "--database-url is no SQLAlchemy URL"),
        ("doctor --database-url nonsense", "--database-url is no SQLAlchemy URL"),
        ("reprice --days 1 --model=", "Invalid value for --model: names no model"),
        ("archive kept", "give --before or --older-than, and not both"),
        ("archive kept --before 2020-01-01 --older-than 1", "give --before or --older-than, and not both"),
        ("archive kept --before 1960-01-01", "Invalid value for '--before': 1960-01-01 is before 1970"),
        ("erase --user 1 --analysis 1", "give --user or --analysis, and not both"),
        ("catalogue --output none/page.md", "--output: none/page.md cannot be written (No such file or"),
        ("export --output none/jobs.csv", "--output: none/jobs.csv cannot be written (No such file or"),
        ("archive file/kept --older-than 1 --apply", "DIRECTORY: file/kept cannot be written (Not a"),
    ],
)
def test_wrong_input(
    words: str, said: str, migrated_sqlite: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One line, which names the option."""
    shutil.copy(migrated_sqlite, tmp_path / "host.sqlite")
    (tmp_path / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TELEMETRY_DATABASE_URL", f"sqlite:///{tmp_path}/host.sqlite")
    done = CliRunner().invoke(cli, words.split())

    assert done.exit_code in (1, 2)
    *usage, line = done.stderr.splitlines()
    assert line.startswith(f"Error: {said}")
    assert [text.partition(" ")[0] for text in usage] in ([], ["Usage:", "Try", ""])


def test_there_is_one_way_to_say_a_period() -> None:
    """A command takes all three options or none, and no other says days."""
    assert {name for name, options in OPTIONS.items() if PERIOD <= options} == {
        *("report", "export", "reprice", "health-check"),
    }
    assert not [name for name, options in OPTIONS.items() if PERIOD & options and not PERIOD <= options]
    assert not [name for name, options in OPTIONS.items() if "--date" in options]


def test_commands_that_print_tables_or_findings_have_json() -> None:
    """So has the one that writes many files; the others write one, SQL or a line."""
    assert {name for name, options in OPTIONS.items() if "--json" in options} == {
        *("report", "insights", "doctor", "reprice", "archive", "unused", "health-check", "validate"),
        *("spool list", "spool retry", "assets"),
    }


@click.command()
@period_options("none")
def period_of(period: Period) -> None:
    """Print the first and the last day of the period, as of the tenth of a month."""
    today = date(2026, 11, 10)
    click.echo(f"{period.first(today)} {period.last(today)}")


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("", "None 2026-11-10"),
        ("--days 1", "2026-11-10 2026-11-10"),
        ("--days 3", "2026-11-08 2026-11-10"),
        ("--days 3 --until 2026-11-05", "2026-11-02 2026-11-04"),
        ("--days 3 --until 2027-01-01", "2026-11-08 2026-11-10"),
        ("--since 2026-11-01", "2026-11-01 2026-11-10"),
        ("--since 2026-11-10 --until 2026-11-11", "2026-11-10 2026-11-10"),
        ("--until 2026-11-05", "None 2026-11-04"),
        ("--days 3 --since 2026-11-01", "Error: --days and --since exclude each other"),
        ("--since 2026-11-11", "Error: Invalid value for --since: is in the future"),
        ("--since 2026-11-05 --until 2026-11-05", "must be later than --since, 2026-11-05"),
        ("--days 0", "is not in the range 1<=x<=3660"),
    ],
)
def test_period_options_combine(words: str, expected: str) -> None:
    """Days count back from today, or from the day before --until; contradictions are refused."""
    assert expected in CliRunner().invoke(period_of, words.split()).output.splitlines()[-1]


def test_health_check_says_what_it_writes() -> None:
    """The table of the log, and what it cleans up."""
    said = " ".join(CliRunner().invoke(cli, ["health-check", "--help"]).output.split())

    for word in ("system_health_log", "as interrupted", "up to date", "as abandoned"):
        assert word in said
