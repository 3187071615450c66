"""A run of tests leaves no process and no folder behind, however it ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import runs

ROOT = Path(__file__).parents[1]

STARTS_EVERYTHING = """
import os, signal, subprocess, sys, time
from pathlib import Path
from examples.screener.standin.client import StandIn
from tests import runs

def test_everything(postgres, pgbouncer, tmp_path):
    standin = StandIn().start()
    forked = os.fork()
    if not forked:  # it keeps whatever is open here
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        time.sleep(600)
    Path({name!r}).write_text(f"{{runs.folder()}} {{forked}}")
    web = subprocess.Popen([sys.executable, "-m", "http.server", "0"], start_new_session=True)
    (Path(runs.folder()) / "started").touch()
    time.sleep(600)
"""
"""A server, a pooler, a stand-in, a forked child, and a process in a session of its own."""


def started(folder: Path, *options: str) -> tuple[subprocess.Popen[bytes], Path, Path]:
    """Start a run of one test that starts everything; return it, its folder and its forked child."""
    name = folder / "run"
    (folder / "test_one.py").write_text(STARTS_EVERYTHING.format(name=str(name)))
    # Not this run's, and yet ended with it: the name of its folder is in the environment.
    env = {**os.environ, "PYTHONPATH": str(ROOT), "OUTER_RUN": str(runs.folder())}
    del env[runs.VARIABLE]
    given = ["-q", "-c", os.devnull, "--rootdir", str(folder), "-p", "tests.conftest", *options, str(folder)]
    command = [sys.executable, "-m", "pytest", *given]
    run = subprocess.Popen(command, cwd=ROOT, env=env, stdout=subprocess.DEVNULL, start_new_session=True)
    while not (name.exists() and (Path(name.read_text().split()[0]) / "started").exists()):
        assert run.poll() is None, "the run ended before everything was started"
        time.sleep(0.05)
    its_folder, forked = name.read_text().split()
    return run, Path(its_folder), Path("/proc", forked)


def members(folder: Path) -> list[str]:
    """Return the command lines of all processes that belong to a run, the guard's not counted."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            command = (entry / "cmdline").read_bytes()
            if bytes(folder) in command + (entry / "environ").read_bytes():
                found.append(command.replace(b"\0", b" ").decode())
        except OSError:
            continue
    return [command for command in found if "guard.py" not in command]


@pytest.mark.parametrize("signalled", [signal.SIGKILL, signal.SIGINT])
@pytest.mark.parametrize("options", [(), ("--numprocesses", "1")], ids=["alone", "xdist"])
def test_an_interrupted_run_leaves_nothing(
    tmp_path: Path, signalled: signal.Signals, options: tuple[str, ...]
) -> None:
    """PostgreSQL, PgBouncer, the stand-in and every child end soon after a run that could not end them."""
    run, folder, forked = started(tmp_path, *options)
    kinds = ("bin/postgres", "pgbouncer", "examples.screener.standin", "http.server")
    there = members(folder)
    assert [kind for kind in kinds if not any(kind in command for command in there)] == []

    if signalled == signal.SIGINT:
        os.killpg(run.pid, signalled)  # as a terminal does
    else:
        run.send_signal(signalled)
    run.wait()

    while folder.exists() or members(folder) or forked.exists():
        time.sleep(0.05)  # the guard ends them; the limit of the test is the limit here


def test_what_is_shared_is_made_once() -> None:
    """All processes of a run get what the first one made."""
    code = "import os, sys; from tests import runs; print(runs.shared(sys.argv[1], os.getpid))"
    command = [sys.executable, "-c", code, f"made-by-{os.getpid()}"]
    asking = [subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    answers = {int(process.communicate()[0]) for process in asking}

    assert len(answers) == 1
    assert answers <= {process.pid for process in asking}
