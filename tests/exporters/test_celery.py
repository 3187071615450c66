"""The application of docs/explanation/processes.md under Celery's prefork pool, one task a process."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.choice import whole_matrix
from tests.exporters.makers import Host
from tests.spool import waiting
from tests.waiting import until

DOCUMENT = Path(__file__).parents[2] / "docs" / "explanation" / "processes.md"
CONFIGURATION = """\
broker_url = "filesystem://"
broker_transport_options = {
    name: "queue" for name in ("data_folder_in", "data_folder_out", "processed_folder", "control_folder")
}
worker_max_tasks_per_child = 1
"""

LIMITED = """\
import json
import time

import telemetry
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded

PAYLOAD = json.dumps([{"number": number, "texts": [str(number)] * 5} for number in range(300)])
app = Celery("screening")
app.config_from_object("celeryconfig")
app.conf.worker_max_tasks_per_child = None
telemetry.setup_telemetry()


@app.task(soft_time_limit=0.1)
def screen():
    end = time.monotonic() + 60
    try:
        with telemetry.run("analysis", user_id=1), telemetry.stage("ranking"):
            while time.monotonic() < end:
                json.loads(PAYLOAD)
        ended = "lost"
    except SoftTimeLimitExceeded:
        ended = "came"
    with open("limits", "a") as file:
        print(ended, file=file)
"""


class Application:
    """An application that does its work in Celery tasks."""

    def __init__(self, host: Host, folder: Path, code: str = "") -> None:
        (documented,) = re.findall(r"```python\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)
        (folder / "screening.py").write_text(code or documented)
        (folder / "celeryconfig.py").write_text(CONFIGURATION)
        (folder / "queue").mkdir()
        self._folder = folder
        self._environment = {
            **os.environ,
            "TELEMETRY_DATABASE_URL": host.url,
            "TELEMETRY_SPOOL_DIR": str(folder / "spool"),
            "TELEMETRY_HMAC_KEY": "k",
            "TELEMETRY_SHUTDOWN_SECONDS": "20",
        }

    def analyse(self, user_id: int, *resumes: str) -> None:
        """Distribute an analysis over tasks, from a process that ends at once."""
        self.run(f"import screening; screening.analyse({user_id}, {dict.fromkeys(resumes, 'text')})")

    def run(self, code: str) -> None:
        """Run code in a process that ends at once."""
        environment = self._environment | {"TELEMETRY_SHUTDOWN_SECONDS": "1"}
        command = [sys.executable, "-c", code]
        subprocess.run(command, cwd=self._folder, env=environment, check=True, timeout=300)

    @contextmanager
    def worker(self) -> Iterator[None]:
        """Run a worker of two processes."""
        options = ("-A", "screening", "worker", "--pool", "prefork", "-c", "2", "--loglevel", "warning")
        command = [sys.executable, "-m", "celery", *options]
        process = subprocess.Popen(command, cwd=self._folder, env=self._environment)
        try:
            yield
        finally:
            process.terminate()
            assert process.wait(60) == 0

    def waiting(self) -> set[Path]:
        """Return the directories of processes that hold snapshots not yet delivered."""
        return {file.parent for file in waiting(self._folder / "spool")}


def scored(host: Host) -> list[int]:
    """Return how many documents were scored, by run."""
    return [row["n_scored"] for row in host.rows("telemetry_runs")]


def test_tasks_add_up_to_one_analysis(sqlite_host: Host, tmp_path: Path) -> None:
    """Each task is done by a process of its own, after the one that began the analysis is gone."""
    application = Application(sqlite_host, tmp_path)
    application.analyse(1, "a.pdf", "b.pdf", "c.pdf")
    with application.worker():
        until(lambda: scored(sqlite_host) == [3], 60)

    run = sqlite_host.row("telemetry_runs")
    assert (run["kind"], run["status"], float(run["score_avg"])) == ("analysis", "completed", 0.85)
    assert len(sqlite_host.rows("telemetry_fragments")) == 4


def test_a_process_that_is_replaced_delivers_first(sqlite_host: Host, tmp_path: Path) -> None:
    """Celery ends its processes without exit hooks, a second after their last task."""
    application = Application(sqlite_host, tmp_path)
    with application.worker():
        with sqlite_host.holding("UPDATE users SET name = 'the database is busy'"):
            application.analyse(1, "a.pdf")
            until(lambda: len(application.waiting()) == 2, 60)
            time.sleep(3)
        until(lambda: scored(sqlite_host) == [1], 40)


def test_soft_time_limits_interrupt_a_run(sqlite_host: Host, tmp_path: Path) -> None:
    """Each task gets its exception, wherever it is at that moment, and its run has failed."""
    number = 50 if whole_matrix() else 8
    application = Application(sqlite_host, tmp_path, LIMITED)
    application.run(f"import screening; [screening.screen.delay() for _ in range({number})]")
    limits = tmp_path / "limits"
    with application.worker():
        until(lambda: limits.exists() and len(limits.read_text().splitlines()) == number, 120)
        until(lambda: len(sqlite_host.rows("telemetry_runs")) == number, 60)
    assert limits.read_text().splitlines() == ["came"] * number
    assert {row["status"] for row in sqlite_host.rows("telemetry_runs")} == {"failed"}
