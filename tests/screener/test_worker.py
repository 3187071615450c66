"""Large analyses: the worker process, and what happens when it is told to stop or killed."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest
from flask import Flask

from examples.screener import jobs
from examples.screener.client import ScreenerClient, ScreenerError
from examples.screener.models import Analysis, Job, User, db
from examples.screener.standin.client import StandIn
from examples.screener.worker import Worker
from tests.screener.conftest import MakeApp
from tests.screener.makers import change, resumes, rows

StartWorker = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start_worker() -> Iterator[StartWorker]:
    """Starts worker processes; those still running at the end are killed."""
    started: list[subprocess.Popen[str]] = []

    def start(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "examples.screener.worker", "--poll", "0.05", *arguments]
        worker = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.kill()
        worker.communicate()


@pytest.fixture
def large(user: ScreenerClient, draft: int) -> int:
    """An analysis of eight résumés, too large for the request."""
    user.upload_resumes(draft, resumes(8))
    started = user.start(draft)
    assert started["state"] == "queued"
    number: int = started["analysis"]
    return number


def until(condition: Callable[[], object], seconds: float = 30) -> None:
    """Wait for something that another process does."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def test_a_large_analysis_waits_for_the_worker(
    app: Flask, user: ScreenerClient, large: int, start_worker: StartWorker
) -> None:
    """The row is there at once; the worker process completes it, and the client hears of the progress."""
    assert rows(app, "SELECT num_candidates FROM analyses") == [{"num_candidates": 8}]
    assert rows(app, "SELECT id FROM candidate_files") == []
    worker = start_worker("--once")
    seen: list[float] = []
    ended = user.wait(large, lambda status: seen.append(status["progress"]), timeout=300, poll=0.05)
    assert ended["state"] == "completed"
    assert seen == sorted(seen)
    assert seen[-1] == 1.0
    assert len(user.result(large)["candidates"]) == 8
    assert worker.wait(20) == 0


def test_the_same_answers_come_from_the_request_and_from_the_worker(
    app: Flask, make_app: MakeApp, user: ScreenerClient, large: int
) -> None:
    """Where an analysis runs makes no difference to its result."""
    Worker(app).run(once=True)
    by_worker = user.result(large)["candidates"]
    change(app, request_limit=20)
    in_request = user.result(user.start(1)["analysis"])["candidates"]
    for candidate in [*by_worker, *in_request]:
        del candidate["id"]
    assert by_worker == in_request


def test_a_draft_cannot_be_changed_while_its_job_waits(user: ScreenerClient, large: int) -> None:
    """What the worker is going to read stays as it is."""
    with pytest.raises(ScreenerError, match="cannot be changed now"):
        user._post("/drafts/1/resumes/1/remove")
    with pytest.raises(ScreenerError, match="cannot be deleted now"):
        user._post("/drafts/1/delete")


def test_an_idle_worker_ends_on_sigterm(app: Flask, start_worker: StartWorker) -> None:
    """Told to stop while nothing is to be done, it ends cleanly and soon."""
    worker = start_worker()
    assert worker.stderr is not None
    assert any("waiting for jobs" in line for line in worker.stderr)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0


def test_a_worker_without_tables_says_what_to_do(environment: None, start_worker: StartWorker) -> None:
    """Started before the set-up, it ends with one line that names the command."""
    worker = start_worker()
    _, errors = worker.communicate(timeout=300)
    assert worker.returncode == 1
    assert errors.splitlines()[-1].startswith("The tables are missing: run `flask --app")
    assert "Traceback" not in errors


def test_the_first_sigterm_lets_the_worker_finish(
    app: Flask, user: ScreenerClient, large: int, standin: StandIn, start_worker: StartWorker
) -> None:
    """Told to stop in the middle, it completes the analysis at hand, then ends."""
    standin.faults([{"match": {"task": "rank"}, "delay_ms": 300}])
    worker = start_worker()
    until(lambda: user.status(large)["stage"] == "ranking")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert user.status(large)["state"] == "completed"


def _told_until_it_ends(worker: subprocess.Popen[str]) -> int:
    """Send SIGTERM, and again where Python has dropped what the handler raised: it does so in a finalizer."""
    for _ in range(6):
        worker.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            return worker.wait(60)
    return worker.wait(1)


def test_the_second_sigterm_gives_the_job_back(
    app: Flask, user: ScreenerClient, large: int, standin: StandIn, start_worker: StartWorker
) -> None:
    """Told twice, it ends at once; the job waits again, and the next worker does it."""
    standin.faults([{"match": {"task": "rank"}, "delay_ms": 30_000}])
    worker = start_worker()
    until(lambda: user.status(large)["stage"] == "ranking")
    worker.send_signal(signal.SIGTERM)
    assert worker.stderr and any("once more" in line for line in worker.stderr)  # two at once are one
    assert _told_until_it_ends(worker) == 0
    assert user.status(large) == {"state": "queued", "progress": 0.0, "stage": "", "message": ""}
    standin.reset_faults()
    Worker(app).run(once=True)
    assert user.status(large)["state"] == "completed"


def test_what_a_killed_worker_left_is_marked_as_failed(
    app: Flask, user: ScreenerClient, large: int, standin: StandIn, start_worker: StartWorker
) -> None:
    """After kill -9 the next worker marks the analysis as failed and goes on with those that wait."""
    standin.faults([{"match": {"task": "rank"}, "delay_ms": 5000}])
    worker = start_worker()
    until(lambda: user.status(large)["stage"] == "ranking")
    worker.kill()
    worker.wait(60)
    assert user.status(large)["state"] == "running"
    standin.reset_faults()
    waiting = user.start(1)["analysis"]
    Worker(app).run(once=True)
    assert user.status(large)["state"] == "failed"
    assert "ended unexpectedly" in user.status(large)["message"]
    assert rows(app, f"SELECT id FROM candidate_files WHERE analysis_id = {large}") == []
    assert user.status(waiting)["state"] == "completed"


def test_a_living_process_keeps_its_job(app: Flask, user: ScreenerClient, large: int) -> None:
    """A worker that starts leaves alone what another process is working on."""
    alive = f"{jobs.me().split(':')[0]}:{os.getppid()}"
    with app.app_context():
        db.session.execute(db.update(Job).values(state="running", owner=alive))
        db.session.commit()
        assert jobs.fail_abandoned() == 0
    assert user.status(large)["state"] == "running"


def test_an_analysis_deleted_while_it_waits_is_forgotten(
    app: Flask, user: ScreenerClient, large: int
) -> None:
    """Its job goes with it, and the worker has nothing to do."""
    user.delete([large])
    assert Worker(app).work() is False


def test_every_job_is_claimed_exactly_once(make_app: MakeApp, database_url: str) -> None:
    """Eight claimers at once share forty jobs; none is taken twice, none is left (both databases)."""
    app = make_app(SCREENER_DATABASE_URL=database_url)
    with app.app_context():
        user_id = db.session.scalar(db.select(User.id).limit(1))
        for _ in range(40):
            found = Analysis(user_id=user_id, num_candidates=1, num_criteria=1, cost_usd=1)
            db.session.add(found)
            db.session.flush()
            db.session.add(Job(analysis_id=found.id, state="queued"))
        db.session.commit()

    def claim_all(_: int) -> list[int]:
        with app.app_context():
            return list(iter(jobs.claim, None))

    with ThreadPoolExecutor(8) as pool:
        claimed = [number for some in pool.map(claim_all, range(8)) for number in some]
    assert sorted(claimed) == list(range(1, 41))
