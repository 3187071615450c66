"""However a process was started and however it ends, its work is in the database afterwards."""

from __future__ import annotations

import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests import fresh
from tests.exporters.makers import Host

ROOT = Path(__file__).parents[2]
SET_UP = """
    import multiprocessing, os, signal, sys, threading
    from concurrent.futures import ProcessPoolExecutor
    from pathlib import Path
    import telemetry
    from telemetry.settings import Settings

    def set_up():
        telemetry.setup_telemetry(
            Settings(database_url=sys.argv[1], spool_dir=Path(sys.argv[2]), hmac_key="k", shutdown_seconds=20)
        )

    def intake(user):
        with telemetry.run("intake", user_id=user):
            telemetry.count("app_retries", user)

    def first_in_child(user):
        set_up()
        intake(user)

    def part(carrier, amount):
        set_up()
        with telemetry.resume(carrier), telemetry.stage("ranking"):
            telemetry.count("app_retries", amount)
        telemetry.shutdown()
"""


def run_script(host: Host, folder: Path, body: str) -> int:
    """Run an application's script to its end, and return its exit status."""
    script = folder / "application.py"
    main = textwrap.indent(textwrap.dedent(body), "    ")
    script.write_text(f'{textwrap.dedent(SET_UP)}\nif __name__ == "__main__":\n    set_up()\n{main}')
    done = fresh.run(str(script), host.url, str(folder / "spool"), cwd=ROOT)
    sys.stderr.write(done.stderr)
    return done.returncode


def counted(host: Host) -> dict[Any, int]:
    """Return the counts in the database, by user."""
    users = {row["run_id"]: row["user_ref"] for row in host.rows("telemetry_runs")}
    return {users[row["run_id"]]: row["value"] for row in host.rows("telemetry_counters")}


def statuses(host: Host) -> list[str]:
    return sorted(row["status"] for row in host.rows("telemetry_runs"))


def test_a_script_that_exits_after_its_run_delivers_it(sqlite_host: Host, tmp_path: Path) -> None:
    """The exit hook of the process waits for the delivery."""
    assert run_script(sqlite_host, tmp_path, "intake(7)") == 0
    assert (statuses(sqlite_host), counted(sqlite_host)) == (["completed"], {7: 7})


def test_a_script_that_exits_within_its_run_delivers_it_as_interrupted(
    sqlite_host: Host, tmp_path: Path
) -> None:
    """The counts up to the exit are exact."""
    body = """
        with telemetry.run("intake", user_id=3):
            telemetry.count("app_retries", 5)
            sys.exit(4)
    """
    assert run_script(sqlite_host, tmp_path, body) == 4
    assert (statuses(sqlite_host), counted(sqlite_host)) == (["interrupted"], {3: 5})


def test_a_run_that_ends_in_an_uncaught_exception_has_failed(sqlite_host: Host, tmp_path: Path) -> None:
    """It is delivered before the process ends."""
    body = """
        with telemetry.run("intake", user_id=3):
            telemetry.count("app_retries", 5)
            raise ValueError("no")
    """
    assert run_script(sqlite_host, tmp_path, body) == 1
    assert (statuses(sqlite_host), counted(sqlite_host)) == (["failed"], {3: 5})


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_processes_of_a_pool_deliver_their_runs(sqlite_host: Host, tmp_path: Path, method: str) -> None:
    """They do so with every start method."""
    body = f"""
        context = multiprocessing.get_context({method!r})
        options = {{}} if {method!r} == "fork" else {{"initializer": set_up}}
        with ProcessPoolExecutor(2, mp_context=context, **options) as pool:
            list(pool.map(intake, range(1, 7)))
    """
    assert run_script(sqlite_host, tmp_path, body) == 0
    assert counted(sqlite_host) == {user: user for user in range(1, 7)}
    assert statuses(sqlite_host) == ["completed"] * 6


@pytest.mark.parametrize("dispatcher_is_first", [True, False])
def test_fragments_of_several_processes_are_one_run(
    sqlite_host: Host, tmp_path: Path, dispatcher_is_first: bool
) -> None:
    """A carrier connects them, whichever process ends first."""
    wait = "for child in children: child.join()"
    body = f"""
        run = telemetry.start_run("analysis", user_id=9, candidates=1)
        telemetry.count("app_retries", 1)
        context = multiprocessing.get_context("spawn")
        children = [context.Process(target=part, args=(run.carrier(), 10 ** n)) for n in (1, 2)]
        for child in children: child.start()
        {"pass" if dispatcher_is_first else wait}
        run.finish()
        {wait}
    """
    assert run_script(sqlite_host, tmp_path, body) == 0
    assert (statuses(sqlite_host), counted(sqlite_host)) == (["completed"], {9: 111})
    assert len(sqlite_host.rows("telemetry_fragments")) == 3


@pytest.mark.parametrize("method", ["fork", "spawn", "forkserver"])
def test_a_child_that_sets_up_telemetry_delivers_before_it_ends(
    sqlite_host: Host, tmp_path: Path, method: str
) -> None:
    """It does so though its parent has no telemetry."""
    body = f"""
        telemetry.shutdown()
        child = multiprocessing.get_context({method!r}).Process(target=first_in_child, args=(5,))
        child.start()
        child.join()
        assert child.exitcode == 0
    """
    assert run_script(sqlite_host, tmp_path, body) == 0
    assert (statuses(sqlite_host), counted(sqlite_host)) == (["completed"], {5: 5})


def test_a_child_per_task_loses_and_repeats_nothing(sqlite_host: Host, tmp_path: Path) -> None:
    """This is what Celery does with max_tasks_per_child=1."""
    body = """
        intake(100)
        context = multiprocessing.get_context("fork")
        for user in range(1, 6):
            child = context.Process(target=intake, args=(user,))
            child.start()
            child.join()
            assert child.exitcode == 0
    """
    assert run_script(sqlite_host, tmp_path, body) == 0
    assert counted(sqlite_host) == {100: 100, **{user: user for user in range(1, 6)}}
    assert statuses(sqlite_host) == ["completed"] * 6
