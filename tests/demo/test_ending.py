"""How the demo ends when it fails or is stopped: it gives a reason, and leaves no process behind."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.choice import first_of
from tests.demo.runs import processes_of, run_demo, start_demo
from tests.waiting import until

pytestmark = pytest.mark.timeout(900)

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts demos, and stops those that still run at the end."""
    started: list[subprocess.Popen[str]] = []

    def start_one(folder: Path, *options: str) -> subprocess.Popen[str]:
        started.append(start_demo(folder, *options))
        return started[-1]

    yield start_one
    for demo in started:
        demo.terminate()
        demo.communicate()


def test_unusable_folder_is_reported_in_one_line(tmp_path: Path) -> None:
    """Where DEMO_DIR is a file, the message names the setting, the path and what to do."""
    file = tmp_path / "file"
    file.touch()
    done = run_demo(file)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [
        f"✗ DEMO_DIR={file} cannot be used: File exists. Name another folder with DEMO_DIR=…"
    ]


def test_database_of_another_program_is_not_overwritten(tmp_path: Path) -> None:
    """The demo refuses to start in the folder of such a database."""
    (tmp_path / "screener.sqlite").write_text("precious")
    done = run_demo(tmp_path)
    assert done.returncode == 1
    assert "screener.sqlite in it was not made by the demo" in done.stderr
    assert (tmp_path / "screener.sqlite").read_text() == "precious"


def test_demo_clears_its_folder_and_locks_it(tmp_path: Path, start: Start) -> None:
    """It removes the files of an earlier demo and says so; a second demo at the same time is refused."""
    (tmp_path / ".made-by-demo").touch()
    (tmp_path / "screener.sqlite").write_text("of the last demo")
    demo = start(tmp_path)
    assert demo.stdout is not None
    assert "Starting afresh" in demo.stdout.readline()
    done = run_demo(tmp_path)
    assert done.returncode == 1
    assert "another demo is at work in it" in done.stderr
    assert demo.poll() is None


def test_base_url_without_a_key_is_refused(tmp_path: Path) -> None:
    """An incomplete configuration of a real service never falls back to the stand-in silently."""
    done = run_demo(tmp_path, OPENAI_BASE_URL="http://127.0.0.1:9/v1")
    assert done.returncode == 1
    assert "OPENAI_BASE_URL is set, but OPENAI_API_KEY is not" in done.stderr


@pytest.mark.parametrize("after", first_of([0.0012, 0.0002, 0.0025], "another moment of the same start"))
def test_process_that_is_just_being_started_ends_too(tmp_path: Path, start: Start, after: float) -> None:
    """SIGTERM while the demo starts a process leaves no process behind."""
    demo = start(tmp_path)
    while not (tmp_path / "worker.log").exists():
        assert demo.poll() is None
        time.sleep(0.0002)
    time.sleep(after)
    demo.terminate()
    assert demo.wait(60) != 0
    until(lambda: not processes_of(tmp_path), 15)


@pytest.mark.parametrize(
    "number",
    first_of(
        [signal.SIGKILL, signal.SIGTERM, signal.SIGINT],
        "the test before sends SIGTERM, and SIGINT ends the demo that others examine",
    ),
)
def test_no_process_survives_the_end_of_the_demo(
    tmp_path: Path, start: Start, number: signal.Signals
) -> None:
    """Its processes end with it, whether by SIGINT, SIGTERM or SIGKILL."""
    demo = start(tmp_path)
    until(lambda: _worker(tmp_path), 90)
    time.sleep(0.3)  # the watchdog needs this time to learn of the worker
    assert len(processes_of(tmp_path)) > 3
    demo.send_signal(number)
    assert demo.wait(60) != 0
    until(lambda: not processes_of(tmp_path), 15)


def test_failed_process_is_reported_with_its_log(tmp_path: Path, start: Start) -> None:
    """When the worker is killed the demo names it, shows the end of its log, and exits with an error."""
    demo = start(tmp_path)
    until((tmp_path / "worker.log").exists, 90)
    until(lambda: _worker(tmp_path), 30)
    os.kill(_worker(tmp_path)[0], signal.SIGKILL)
    output, _ = demo.communicate(timeout=300)
    assert demo.returncode == 1
    assert "The worker process was ended by SIGKILL" in output
    assert str(tmp_path / "worker.log") in output
    assert processes_of(tmp_path) == {}


def _worker(folder: Path) -> list[int]:
    processes = processes_of(folder).items()
    return [number for number, command in processes if "examples.screener.worker" in command]
