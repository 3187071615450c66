"""The commands with which an operator looks after the spool."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from exporters.metrics.totals import Totals
from exporters.spool.directory import Spool
from telemetry.cli.group import cli
from telemetry.settings import Settings
from tests import fresh
from tests.exporters.makers import SOME_HOSTS, Fragment, Host, call
from tests.exporters.test_spool import give, leave_behind, move_to_spool_of, other_process, take_over_all
from tests.exporters.test_writer import refuse_large_runs
from tests.spool import ANOTHER_USER, closed

HOSTS = SOME_HOSTS


class Operator:
    """Runs commands on a machine whose application is not running."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host, self.folder = host, folder
        self.settings = Settings(database_url=host.url, spool_dir=folder / "spool", hmac_key="secret")

    @property
    def environment(self) -> dict[str, str]:
        """The settings, as environment variables."""
        return {
            "TELEMETRY_DATABASE_URL": self.settings.database_url,
            "TELEMETRY_SPOOL_DIR": str(self.settings.spool_dir),
            "TELEMETRY_HMAC_KEY": self.settings.hmac_key,
        }

    def run(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run `flask telemetry …` without an application."""
        env = {**self.environment, **environment}
        return fresh.run("-m", "flask", "telemetry", *words, cwd=self.folder, env=env)

    def run_without_privileges(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run it with no right to read what belongs to others."""
        command = [*ANOTHER_USER, sys.executable, "-m", "flask", "telemetry", *words]
        return subprocess.run(
            command, env=self.environment, cwd=self.folder, capture_output=True, text=True, check=False
        )


@pytest.fixture
def operator(host: Host, tmp_path: Path) -> Operator:
    return Operator(host, tmp_path)


@pytest.fixture
def quick_operator(sqlite_host: Host, tmp_path: Path) -> Operator:
    """An operator for tests that do not depend on the database."""
    return Operator(sqlite_host, tmp_path)


def leave_from_dead_process(settings: Settings, *fragments: Fragment) -> str:
    """Leave snapshots of these fragments from a process of this application that died; return its id."""
    name = leave_behind(settings.spool_dir, *(fragment.snapshot() for fragment in fragments))
    return move_to_spool_of(settings, name)


def test_recover_delivers_entries_of_dead_processes(host: Host, operator: Operator) -> None:
    """The application need not run for it; the host's rows are updated, too."""
    host.add_user()
    host.add_analysis()
    fragment = Fragment(analysis_id=1, user_id=1, candidates=2)
    leave_from_dead_process(operator.settings, fragment.calls(call()))
    done = operator.run("spool", "recover")

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == ["1 dead process had left 1 snapshot.", "Everything is delivered."]
    assert host.row("telemetry_runs")["status"] == "interrupted"
    assert host.row("analyses")["status"] == "interrupted"
    assert host.row("users")["total_jobs_run"] == 1
    assert operator.run("spool", "recover").stdout.startswith("0 dead")


def test_recover_leaves_living_processes_alone(quick_operator: Operator) -> None:
    """The list shows them as living."""
    with other_process(quick_operator.settings.spool_dir) as process:
        move_to_spool_of(quick_operator.settings, give(process, Fragment().snapshot()))

        assert quick_operator.run("spool", "recover").returncode == 0
        assert quick_operator.host.rows("telemetry_runs") == []
        shown = quick_operator.run("spool", "list").stdout
        assert "living" in shown and "dead" not in shown
        (kept,) = json.loads(quick_operator.run("spool", "list", "--json").stdout)["processes"]
        assert (kept["state"], kept["snapshots"]) == ("living", 1)
        assert kept["bytes"] > 0 and kept["oldest_seconds"] >= 0


def test_entries_of_another_user_are_named(quick_operator: Operator) -> None:
    """They are listed and left to their owner; entries of other dead processes are delivered."""
    settings = quick_operator.settings
    name = leave_from_dead_process(settings, Fragment())
    leave_from_dead_process(settings, Fragment())
    with closed(settings.spool_dir / settings.spool_key() / name):
        shown = quick_operator.run_without_privileges("spool", "list")
        done = quick_operator.run_without_privileges("spool", "recover")

    assert shown.returncode == 0 and "dead" in shown.stdout
    (line,) = [line for line in shown.stdout.splitlines() if name in line]
    assert "foreign" in line and "chown" in shown.stdout
    assert done.returncode == 1 and name in done.stderr.splitlines()[-1] and "chown" in done.stderr
    assert len(quick_operator.host.rows("telemetry_runs")) == 1
    with closed(settings.spool_dir / settings.spool_key()):
        for words in (("spool", "list"), ("spool", "recover")):
            done = quick_operator.run_without_privileges(*words)
            assert (done.returncode, done.stdout) == (1, "") and "chown" in done.stderr
            assert len(done.stderr.splitlines()) == 1
    assert quick_operator.run_without_privileges("spool", "recover").returncode == 0


def test_a_command_inside_an_application_leaves_its_directory_alone(
    quick_operator: Operator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The directory stays locked for all other processes."""
    settings = quick_operator.settings
    for name, value in quick_operator.environment.items():
        monkeypatch.setenv(name, value)
    spool = Spool(settings, Totals())
    spool.put(Fragment().snapshot())
    inside = CliRunner()
    for words in (["spool", "list"], ["spool", "recover"], ["spool", "list"]):
        done = inside.invoke(cli, words)
        assert done.exit_code == 0, done.output
    assert "living" in done.output

    assert quick_operator.run("spool", "recover").returncode == 0
    assert quick_operator.host.rows("telemetry_runs") == []
    spool.close()
    assert quick_operator.run("spool", "recover").stdout.startswith("1 dead")


def test_recover_reports_a_database_that_is_down(quick_operator: Operator) -> None:
    """It prints one line and exits 1, and nothing is lost."""
    leave_from_dead_process(quick_operator.settings, Fragment())
    done = quick_operator.run(
        "spool", "recover", TELEMETRY_DATABASE_URL="postgresql://nobody@127.0.0.1:1/none"
    )

    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("Error: the database cannot be used: ")
    assert len(done.stderr.splitlines()) <= 2
    assert len(take_over_all(Spool(quick_operator.settings, Totals()))) == 1


def test_quarantined_snapshots_are_listed_retried_and_dropped(host: Host, operator: Operator) -> None:
    """They stay until the reason for the refusal is removed, or a person drops them."""
    refuse_large_runs(host)
    large, huge = Fragment(candidates=100), Fragment(candidates=200)
    leave_from_dead_process(operator.settings, large, huge)
    assert operator.run("spool", "recover").returncode == 0
    one, other = (fragment.accumulator.facts.fragment_id for fragment in (large, huge))

    shown = operator.run("spool", "list").stdout
    assert one in shown and other in shown and "IntegrityError" in shown
    refused = operator.run("spool", "retry", one)
    assert (refused.returncode, refused.stdout) == (1, f"{one}  still refused: IntegrityError\n")

    refused = operator.run("spool", "retry", "--json", one)
    assert json.loads(refused.stdout) == {
        "fragments": [{"fragment_id": one, "delivered": False, "error": "IntegrityError"}]
    }

    allow_large_runs(host)
    assert operator.run("spool", "retry", one).stdout == f"{one}  delivered\n"
    assert [row["candidates"] for row in host.rows("telemetry_runs")] == [100]
    assert one not in operator.run("spool", "list").stdout

    assert operator.run("spool", "drop", other).returncode == 1, "it asks first"
    assert operator.run("spool", "drop", other, "--yes").stdout == "1 dropped.\n"
    assert "Nothing is in quarantine." in operator.run("spool", "list").stdout
    missing = operator.run("spool", "retry", other)
    assert missing.returncode == 1 and f"nothing is in quarantine under {other}" in missing.stderr


def test_an_empty_spool_is_no_error(quick_operator: Operator) -> None:
    """On a machine where nothing has run yet, all commands succeed."""
    assert quick_operator.run("spool", "list").stdout.splitlines()[1:] == [
        "No process has snapshots.",
        "Nothing is in quarantine.",
    ]
    assert quick_operator.run("spool", "retry").returncode == 0
    assert quick_operator.run("spool", "recover").returncode == 0


def allow_large_runs(host: Host) -> None:
    if host.is_postgresql:
        host.execute("ALTER TABLE telemetry_runs DROP CONSTRAINT small")
    else:
        host.execute("DROP TRIGGER small")
