"""A process that a signal ends: what it had done is kept, and the application notices nothing of that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from exporters.process.spool_keeper import SpoolKeeper
from exporters.rollup import status as rules
from telemetry.settings import Settings
from tests.exporters.makers import Host

ROOT = Path(__file__).parents[2]
PREPARE = """
    import asyncio, faulthandler, multiprocessing, os, signal, subprocess, sys, threading, time
    import telemetry
    from telemetry.setup import pipeline, setup_telemetry

    def work(user=7):
        telemetry.start_run("intake", user_id=user)
        telemetry.count("app_retries", user)

    def wait(*_):
        print("ready", flush=True)
        for _ in range(600):  # a signal that comes just before a sleep is only seen at its end
            time.sleep(0.1)

    def child(user):
        setup_telemetry()
        work(user)
        wait()
"""
EXACT = ("interrupted", rules.LEFT, 0, True)
FROM_CHECKPOINT = ("interrupted", rules.DIED, 1, False)


class Application:
    """A script that was started, and has said that it is ready."""

    def __init__(self, host: Host, folder: Path, body: str, **settings: str) -> None:
        self._settings = Settings(database_url=host.url, spool_dir=folder / "spool", hmac_key="k")
        self._host = host
        script = folder / "application.py"
        main = textwrap.indent(textwrap.dedent(body), "    ")
        script.write_text(f'{textwrap.dedent(PREPARE)}\nif __name__ == "__main__":\n{main}')
        environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("TELEMETRY_")},
            "PYTHONPATH": str(ROOT),
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
            "TELEMETRY_DATABASE_URL": host.url,
            "TELEMETRY_SPOOL_DIR": str(folder / "spool"),
            "TELEMETRY_HMAC_KEY": "k",
            "TELEMETRY_CHECKPOINT_SECONDS": "3600",
            **settings,
        }
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        self.process = subprocess.Popen([sys.executable, str(script)], cwd=ROOT, env=environment, **pipes)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal once the script is ready; return its status, and what it has written since."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "ready\n", (line, self.process.communicate(timeout=300)[1])
        self.process.send_signal(number)
        out, errors = self.process.communicate(timeout=300)
        assert not errors or number == signal.SIGINT, errors
        return self.process.returncode, out

    def runs(self) -> list[tuple[Any, ...]]:
        """How its runs stand, before anybody recovers what it left."""
        rows = sorted(self._host.rows("telemetry_runs"), key=lambda row: row["user_ref"])
        return [
            (row["status"], row["status_reason"], row["unclosed"], bool(row["cost_complete"])) for row in rows
        ]

    def recovered(self) -> list[tuple[Any, ...]]:
        """How its runs stand once another process has recovered what it left."""
        assert SpoolKeeper(self._settings).recover(30)
        return self.runs()

    def counted(self) -> list[int]:
        return sorted(row["value"] for row in self._host.rows("telemetry_counters"))


def test_a_plain_script(sqlite_host: Host, tmp_path: Path) -> None:
    """It dies by the signal, and has delivered exactly what it had done."""
    application = Application(sqlite_host, tmp_path, "setup_telemetry(); work(); wait()")

    assert application.end() == (-signal.SIGTERM, "")
    assert (application.runs(), application.counted()) == ([EXACT], [7])
    assert not list((tmp_path / "spool").glob("*/*/*.json"))


def test_the_setting_switches_it_off(sqlite_host: Host, tmp_path: Path) -> None:
    """Then it dies as it would without telemetry, and only a checkpoint is known."""
    body = "setup_telemetry(); work(); wait()"
    application = Application(sqlite_host, tmp_path, body, TELEMETRY_SAVE_ON_SIGTERM="false")

    assert application.end() == (-signal.SIGTERM, "")
    assert application.recovered() == [FROM_CHECKPOINT]


def test_a_run_that_has_failed_stays_so(sqlite_host: Host, tmp_path: Path) -> None:
    """What the application said of its run outweighs that it left it open."""
    body = "setup_telemetry(); work(); telemetry.fail_current_run('quota'); wait()"
    application = Application(sqlite_host, tmp_path, body)

    assert application.end() == (-signal.SIGTERM, "")
    assert application.runs() == [("failed", rules.APPLICATION, 0, True)]


def test_the_database_is_away(sqlite_host: Host, tmp_path: Path) -> None:
    """It dies all the same, and the next process delivers what it left: nothing is lost."""
    application = Application(sqlite_host, tmp_path, "setup_telemetry(); work(); wait()")
    with sqlite_host.holding("UPDATE users SET email = 'locked'"):
        assert application.end() == (-signal.SIGTERM, "")

    assert application.recovered() == [EXACT]
    assert application.counted() == [7]


HANDLER = "def handler(*_): print('handled', flush=True); sys.exit(3)"


@pytest.mark.parametrize(
    "body",
    [
        f"{HANDLER}\nsignal.signal(signal.SIGTERM, handler); setup_telemetry(); work(); wait()",
        f"{HANDLER}\nsetup_telemetry(); signal.signal(signal.SIGTERM, handler); work(); wait()",
    ],
    ids=["before", "after"],
)
def test_a_handler_of_the_host_is_left_alone(sqlite_host: Host, tmp_path: Path, body: str) -> None:
    """It does what it does, whenever it was set; an exit of its own closes the runs as ever."""
    application = Application(sqlite_host, tmp_path, body)

    assert application.end() == (3, "handled\n")
    assert (application.runs(), application.counted()) == ([EXACT], [7])


CALLS_THE_ONE_BEFORE = """
    setup_telemetry()
    before = signal.getsignal(signal.SIGTERM)

    def handler(number, frame):
        if callable(before):
            before(number, frame)
        print(before is signal.SIG_DFL, flush=True)
        sys.exit(4)

    assert signal.signal(signal.SIGTERM, handler) is before
    work()
    wait()
"""
DIES_AS_BEFORE = """
    setup_telemetry()

    def handler(number, frame):
        print("cleaned up", flush=True)
        signal.signal(number, before)
        os.kill(os.getpid(), number)

    before = signal.signal(signal.SIGTERM, handler)
    work()
    wait()
"""
GRACEFUL = """
    setup_telemetry()
    work()

    async def main():
        stopped = asyncio.Event()
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stopped.set)
        print("ready", flush=True)
        await stopped.wait()
        print("stopped", flush=True)

    asyncio.run(main())
"""


@pytest.mark.parametrize(
    ("body", "status", "written"),
    [
        (CALLS_THE_ONE_BEFORE, 4, "True\n"),
        (DIES_AS_BEFORE, -signal.SIGTERM, "cleaned up\n"),
        (GRACEFUL, 0, "stopped\n"),
    ],
    ids=["calls the one before", "dies as before", "asyncio"],
)
def test_a_host_sees_the_default(
    sqlite_host: Host, tmp_path: Path, body: str, status: int, written: str
) -> None:
    """A host that asks for the handler before its own, to call it or to restore it, finds none."""
    application = Application(sqlite_host, tmp_path, body)

    assert application.end() == (status, written)


def test_a_signal_that_is_ignored_stays_so(sqlite_host: Host, tmp_path: Path) -> None:
    """A process that does not want to end by SIGTERM goes on."""
    body = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        setup_telemetry()
        work()
        os.kill(os.getpid(), signal.SIGTERM)
        wait()
    """
    application = Application(sqlite_host, tmp_path, body)

    assert application.end(signal.SIGKILL) == (-signal.SIGKILL, "")
    assert application.recovered() == [FROM_CHECKPOINT]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux says what is caught outside of Python")
def test_a_handler_outside_of_python_is_left_alone(sqlite_host: Host, tmp_path: Path) -> None:
    """What `faulthandler` was told to do with the signal, it does; the process goes on."""
    body = """
        faulthandler.register(signal.SIGTERM, file=sys.stdout)
        setup_telemetry()
        work()
        os.kill(os.getpid(), signal.SIGTERM)
        wait()
    """
    application = Application(sqlite_host, tmp_path, body)
    assert application.process.stdout is not None
    lines = iter(application.process.stdout.readline, "ready\n")

    assert any("most recent call first" in line for line in lines)
    application.process.kill()
    application.process.communicate()


def test_set_up_in_another_thread(sqlite_host: Host, tmp_path: Path) -> None:
    """There no handler can be set: the process dies as it would, and nothing is said."""
    body = """
        thread = threading.Thread(target=setup_telemetry)
        thread.start()
        thread.join()
        work()
        wait()
    """
    application = Application(sqlite_host, tmp_path, body)

    assert application.end() == (-signal.SIGTERM, "")
    assert application.recovered() == [FROM_CHECKPOINT]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_child_that_is_terminated(sqlite_host: Host, tmp_path: Path, method: str) -> None:
    """`Process.terminate()` ends a child by SIGTERM: it dies by it, and its own runs are exact."""
    body = f"""
        setup_telemetry()
        context = multiprocessing.get_context({method!r})
        children = [context.Process(target=child, args=(user,)) for user in (1, 2)]
        read, write = os.pipe()
        os.dup2(write, 1)
        for each in children: each.start()
        with os.fdopen(read) as lines:
            for _ in children: assert lines.readline() == "ready\\n"
        for each in children: each.terminate()
        for each in children: each.join()
        os.dup2(2, 1)
        sys.exit(5 if [each.exitcode for each in children] == [-15, -15] else 6)
    """
    application = Application(sqlite_host, tmp_path, body)
    _, errors = application.process.communicate(timeout=300)

    assert (application.process.returncode, errors) == (5, "")
    assert (application.runs(), application.counted()) == ([EXACT, EXACT], [1, 2])


def test_other_programs_that_it_starts(sqlite_host: Host, tmp_path: Path) -> None:
    """They inherit nothing, and end by SIGTERM at once."""
    body = """
        setup_telemetry()
        other = subprocess.Popen([sys.executable, "-c", "print(1, flush=True); input()"], stdin=-1, stdout=-1)
        other.stdout.readline()
        other.terminate()
        print("ready", flush=True)
        print(other.wait(), flush=True)
        time.sleep(60)
    """
    application = Application(sqlite_host, tmp_path, body)

    assert application.process.stdout is not None
    assert [application.process.stdout.readline() for _ in range(2)] == ["ready\n", "-15\n"]
    application.process.kill()
    application.process.communicate()


LOCKS = ("spool._lock", "recorder.fragments._open_records()[0].accumulator._lock")


@pytest.mark.parametrize("lock", LOCKS)
def test_a_lock_that_the_main_thread_holds(sqlite_host: Host, tmp_path: Path, lock: str) -> None:
    """The signal may come in the middle of our own work: that goes on, then everything is saved."""
    body = f"""
        setup_telemetry()
        work()
        lock = pipeline().{lock}
        print("ready", flush=True)
        with lock:
            os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(60)
    """
    application = Application(sqlite_host, tmp_path, body)

    assert application.end(signal.SIGCONT) == (-signal.SIGTERM, "")
    assert (application.recovered(), application.counted()) == ([EXACT], [7])


def test_a_lock_that_is_never_let_go(sqlite_host: Host, tmp_path: Path) -> None:
    """It dies all the same, and says what the last checkpoint knew, as not complete."""
    body = """
        setup_telemetry()
        work()
        with pipeline().spool._lock:
            wait()
    """
    application = Application(sqlite_host, tmp_path, body)

    assert application.end() == (-signal.SIGTERM, "")
    assert application.recovered() == [FROM_CHECKPOINT]


@pytest.mark.parametrize(
    ("number", "stands"), [(signal.SIGINT, EXACT), (signal.SIGHUP, FROM_CHECKPOINT)], ids=["INT", "HUP"]
)
def test_other_signals(sqlite_host: Host, tmp_path: Path, number: int, stands: tuple[Any, ...]) -> None:
    """Ctrl-C is an exception, and leaves the run by an exit; of what else ends a process we know nothing."""
    default = "signal.signal(signal.SIGHUP, signal.SIG_DFL)"  # which nohup has changed for what it runs
    application = Application(sqlite_host, tmp_path, f"{default}; setup_telemetry(); work(); wait()")

    status, _ = application.end(number)
    assert application.recovered() == [stands]
    assert status != 0
