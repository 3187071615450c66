"""A process that a signal ends delivers what it had done, without the application noticing."""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from exporters.process.spool_keeper import SpoolKeeper
from exporters.rollup import status as rules
from telemetry.settings import Settings
from tests import fresh
from tests.collector.receiver import Receiver
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
        for _ in range(600):  # a signal just before a sleep is handled only at its end
            time.sleep(0.1)

    def child(user):
        setup_telemetry()
        work(user)
        wait()
"""
EXACT = ("interrupted", rules.LEFT, 0, True)
FROM_CHECKPOINT = ("interrupted", rules.DIED, 1, False)


class Application:
    """A script of an application, running in a process."""

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
        self.process = fresh.talk(str(script), env=environment)

    def end(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Send a signal once the script is ready; return its exit status and what it has printed since."""
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        assert line == "ready\n", (line, self.process.communicate(timeout=300)[1])
        self.process.send_signal(number)
        out, errors = self.process.communicate(timeout=300)
        assert not errors or number == signal.SIGINT, errors
        return self.process.wait(), out

    def runs(self) -> list[tuple[Any, ...]]:
        """Return the state of its runs before another process takes over."""
        rows = sorted(self._host.rows("telemetry_runs"), key=lambda row: row["user_ref"])
        return [
            (row["status"], row["status_reason"], row["unclosed"], bool(row["cost_complete"])) for row in rows
        ]

    def runs_after_takeover(self) -> list[tuple[Any, ...]]:
        """Return the state of its runs after another process has taken over its spool."""
        assert SpoolKeeper(self._settings).recover(30)
        return self.runs()

    def counted(self) -> list[int]:
        return sorted(row["value"] for row in self._host.rows("telemetry_counters"))


def test_a_script_ended_by_sigterm_delivers_its_runs(sqlite_host: Host, tmp_path: Path) -> None:
    """It still dies of the signal, and its figures are exact."""
    application = Application(sqlite_host, tmp_path, "setup_telemetry(); work(); wait()")

    assert application.end() == (-signal.SIGTERM, "")
    assert (application.runs(), application.counted()) == ([EXACT], [7])
    assert not list((tmp_path / "spool").glob("*/*/*.json"))


def test_a_script_ended_by_sigterm_exports_its_metrics_and_spans(sqlite_host: Host, tmp_path: Path) -> None:
    """Nothing since the last export is lost, though no handler runs at its exit."""
    with Receiver() as collector:
        settings = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector.url,
            "OTEL_TRACES_EXPORTER": "otlp",
            "OTEL_METRICS_EXPORTER": "otlp",
            "OTEL_METRIC_EXPORT_INTERVAL": "3600000",
        }
        body = "setup_telemetry(); telemetry.start_run('late').finish(); work(); wait()"
        application = Application(sqlite_host, tmp_path, body, **settings)
        assert application.end()[0] == -signal.SIGTERM
        [events] = [metric for metric in collector.metrics() if metric.name == "analysis.events"]
        spans = collector.spans()

    assert sum(point.as_int for point in events.sum.data_points) == 7
    assert [span.name for span in spans] == ["late"]


def test_saving_on_sigterm_can_be_switched_off(sqlite_host: Host, tmp_path: Path) -> None:
    """Then the process dies as without telemetry, and only a checkpoint is known."""
    body = "setup_telemetry(); work(); wait()"
    application = Application(sqlite_host, tmp_path, body, TELEMETRY_SAVE_ON_SIGTERM="false")

    assert application.end() == (-signal.SIGTERM, "")
    assert application.runs_after_takeover() == [FROM_CHECKPOINT]


def test_a_run_marked_as_failed_stays_failed(sqlite_host: Host, tmp_path: Path) -> None:
    """That the application marked it counts more than that it was open."""
    body = "setup_telemetry(); work(); telemetry.fail_current_run('quota'); wait()"
    application = Application(sqlite_host, tmp_path, body)

    assert application.end() == (-signal.SIGTERM, "")
    assert application.runs() == [("failed", rules.APPLICATION, 0, True)]


def test_sigterm_does_not_wait_for_a_locked_database(sqlite_host: Host, tmp_path: Path) -> None:
    """The next process delivers what is in the spool, so that nothing is lost."""
    application = Application(sqlite_host, tmp_path, "setup_telemetry(); work(); wait()")
    with sqlite_host.holding("UPDATE users SET email = 'locked'"):
        assert application.end() == (-signal.SIGTERM, "")

    assert application.runs_after_takeover() == [EXACT]
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
def test_a_handler_of_the_host_stays_in_place(sqlite_host: Host, tmp_path: Path, body: str) -> None:
    """It may be set before or after telemetry; its exit closes the runs as usual."""
    application = Application(sqlite_host, tmp_path, body)

    assert application.end() == (3, "handled\n")
    assert (application.runs(), application.counted()) == ([EXACT], [7])


CALLS_PREVIOUS_HANDLER = """
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
RESTORES_PREVIOUS_HANDLER = """
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
        (CALLS_PREVIOUS_HANDLER, 4, "True\n"),
        (RESTORES_PREVIOUS_HANDLER, -signal.SIGTERM, "cleaned up\n"),
        (GRACEFUL, 0, "stopped\n"),
    ],
    ids=["calls the previous handler", "restores the previous handler", "asyncio"],
)
def test_a_host_sees_the_default_handler(
    sqlite_host: Host, tmp_path: Path, body: str, status: int, written: str
) -> None:
    """A host that reads the previous handler, to call or to restore it, gets the default."""
    application = Application(sqlite_host, tmp_path, body)

    assert application.end() == (status, written)


def test_an_ignored_signal_stays_ignored(sqlite_host: Host, tmp_path: Path) -> None:
    """A process that ignores SIGTERM goes on."""
    body = """
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        setup_telemetry()
        work()
        os.kill(os.getpid(), signal.SIGTERM)
        wait()
    """
    application = Application(sqlite_host, tmp_path, body)

    assert application.end(signal.SIGKILL) == (-signal.SIGKILL, "")
    assert application.runs_after_takeover() == [FROM_CHECKPOINT]


@pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux shows which signals are caught outside of Python"
)
def test_a_handler_outside_of_python_stays_in_place(sqlite_host: Host, tmp_path: Path) -> None:
    """`faulthandler` still handles the signal, and the process goes on."""
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


def test_telemetry_set_up_in_another_thread_sets_no_handler(sqlite_host: Host, tmp_path: Path) -> None:
    """Python allows it in the main thread only: the process dies as without telemetry, and logs nothing."""
    body = """
        thread = threading.Thread(target=setup_telemetry)
        thread.start()
        thread.join()
        work()
        wait()
    """
    application = Application(sqlite_host, tmp_path, body)

    assert application.end() == (-signal.SIGTERM, "")
    assert application.runs_after_takeover() == [FROM_CHECKPOINT]


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_a_terminated_child_delivers_its_runs(sqlite_host: Host, tmp_path: Path, method: str) -> None:
    """`Process.terminate()` sends SIGTERM: the child dies of it, and its runs are exact."""
    body = f"""
        setup_telemetry()
        context = multiprocessing.get_context({method!r})
        children = [context.Process(target=child, args=(user,)) for user in (1, 2)]
        read, write = os.pipe()
        os.dup2(write, 1)
        for process in children: process.start()
        with os.fdopen(read) as lines:
            for _ in children: assert lines.readline() == "ready\\n"
        for process in children: process.terminate()
        for process in children: process.join()
        os.dup2(2, 1)
        sys.exit(5 if [process.exitcode for process in children] == [-15, -15] else 6)
    """
    application = Application(sqlite_host, tmp_path, body)
    _, errors = application.process.communicate(timeout=300)

    assert (application.process.returncode, errors) == (5, "")
    assert (application.runs(), application.counted()) == ([EXACT, EXACT], [1, 2])


def test_other_programs_do_not_inherit_the_handler(sqlite_host: Host, tmp_path: Path) -> None:
    """They end by SIGTERM at once."""
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
def test_sigterm_while_the_main_thread_holds_a_lock_saves_everything(
    sqlite_host: Host, tmp_path: Path, lock: str
) -> None:
    """The signal may interrupt telemetry's own work, which is finished before everything is saved."""
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
    assert (application.runs_after_takeover(), application.counted()) == ([EXACT], [7])


def test_a_lock_that_is_never_released_does_not_stop_the_exit(sqlite_host: Host, tmp_path: Path) -> None:
    """Then the last checkpoint counts, with an incomplete cost."""
    body = """
        setup_telemetry()
        work()
        with pipeline().spool._lock:
            wait()
    """
    application = Application(sqlite_host, tmp_path, body)

    assert application.end() == (-signal.SIGTERM, "")
    assert application.runs_after_takeover() == [FROM_CHECKPOINT]


@pytest.mark.parametrize(
    ("number", "state"), [(signal.SIGINT, EXACT), (signal.SIGHUP, FROM_CHECKPOINT)], ids=["INT", "HUP"]
)
def test_other_signals_are_not_handled(
    sqlite_host: Host, tmp_path: Path, number: int, state: tuple[Any, ...]
) -> None:
    """Ctrl-C raises an exception, which closes the run; after other signals only the checkpoint is known."""
    default = "signal.signal(signal.SIGHUP, signal.SIG_DFL)"  # nohup ignores it for its children
    application = Application(sqlite_host, tmp_path, f"{default}; setup_telemetry(); work(); wait()")

    status, _ = application.end(number)
    assert application.runs_after_takeover() == [state]
    assert status != 0
