"""Large analyses in the worker process, also when it is stopped or killed."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta

import pytest
from flask import Flask

from examples.screener import jobs
from examples.screener.client import ScreenerClient, ScreenerError
from examples.screener.models import Analysis, Job, User, db, utcnow
from examples.screener.standin.client import StandIn
from examples.screener.worker import Worker
from tests import fresh
from tests.screener.conftest import MakeApp
from tests.screener.makers import change, resumes, rows
from tests.waiting import until

StartWorker = Callable[..., fresh.Child]


@pytest.fixture
def start_worker() -> Iterator[StartWorker]:
    """Starts worker processes, and kills those that still run at the end."""
    started: list[fresh.Child] = []

    def start(*arguments: str) -> fresh.Child:
        worker = fresh.talk("-m", "examples.screener.worker", "--poll", "0.05", *arguments)
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


def test_large_analysis_waits_for_the_worker(
    app: Flask, user: ScreenerClient, large: int, start_worker: StartWorker
) -> None:
    """Its row exists at once; the worker process completes it, and the client sees the progress."""
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


def test_request_and_worker_give_the_same_result(
    app: Flask, make_app: MakeApp, user: ScreenerClient, large: int
) -> None:
    """The result does not depend on where the analysis runs."""
    Worker(app).run(once=True)
    by_worker = user.result(large)["candidates"]
    change(app, request_limit=20)
    in_request = user.result(user.start(1)["analysis"])["candidates"]
    for candidate in [*by_worker, *in_request]:
        del candidate["id"]
    assert by_worker == in_request


def test_worker_shows_that_it_is_alive(app: Flask, user: ScreenerClient, large: int) -> None:
    """When it looks for jobs, and as long as it gets on with one; progress in a request shows nothing."""
    with app.app_context():
        assert jobs.worker_seen() is None
        Worker(app).run(once=True)
        looked = jobs.worker_seen()
        assert looked is not None and looked <= utcnow()
        later = utcnow() + timedelta(minutes=1)
        for owner, seen in (("elsewhere:1", looked), (jobs.me(), later)):
            db.session.execute(db.update(Job).values(state="running", owner=owner, touched_at=later))
            db.session.commit()
            assert jobs.worker_seen() == seen


def test_draft_cannot_be_changed_while_its_job_waits(user: ScreenerClient, large: int) -> None:
    """The worker is going to read it."""
    with pytest.raises(ScreenerError, match="cannot be changed now"):
        user._post("/drafts/1/resumes/1/remove")
    with pytest.raises(ScreenerError, match="cannot be deleted now"):
        user._post("/drafts/1/delete")


def test_idle_worker_ends_on_sigterm(app: Flask, start_worker: StartWorker) -> None:
    """It ends soon, with status 0."""
    worker = start_worker()
    assert worker.stderr is not None
    assert any("waiting for jobs" in line for line in worker.stderr)
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0


def test_worker_without_tables_says_what_to_do(environment: None, start_worker: StartWorker) -> None:
    """It exits with one line that names the set-up command."""
    worker = start_worker()
    _, errors = worker.communicate(timeout=300)
    assert worker.returncode == 1
    assert errors.splitlines()[-1].startswith("The tables are missing: run `flask --app")
    assert "Traceback" not in errors


def test_first_sigterm_lets_the_worker_finish(
    app: Flask, user: ScreenerClient, large: int, standin: StandIn, start_worker: StartWorker
) -> None:
    """It completes the current analysis, and then ends."""
    standin.faults([{"match": {"task": "rank"}, "delay_ms": 300}])
    worker = start_worker()
    until(lambda: user.status(large)["stage"] == "ranking")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert user.status(large)["state"] == "completed"


def _terminate(worker: fresh.Child) -> int:
    """Send SIGTERM, repeatedly, since Python drops exceptions that the handler raises in a finalizer."""
    for _ in range(6):
        worker.send_signal(signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            return worker.wait(60)
    return worker.wait(1)


def test_second_sigterm_returns_the_job_to_the_queue(
    app: Flask, user: ScreenerClient, large: int, standin: StandIn, start_worker: StartWorker
) -> None:
    """The worker ends at once, and the next worker does the job."""
    standin.faults([{"match": {"task": "rank"}, "delay_ms": 30_000}])
    worker = start_worker()
    until(lambda: user.status(large)["stage"] == "ranking")
    worker.send_signal(signal.SIGTERM)
    assert worker.stderr and any(
        "once more" in line for line in worker.stderr
    )  # two signals at once would count as one
    assert _terminate(worker) == 0
    assert user.status(large) == {"state": "queued", "progress": 0.0, "stage": "", "message": ""}
    standin.reset_faults()
    Worker(app).run(once=True)
    assert user.status(large)["state"] == "completed"


def test_analysis_of_a_killed_worker_is_marked_as_failed(
    app: Flask, user: ScreenerClient, large: int, standin: StandIn, start_worker: StartWorker
) -> None:
    """The next worker marks it, and then does the waiting jobs."""
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


def test_job_of_a_living_process_is_not_taken(app: Flask, user: ScreenerClient, large: int) -> None:
    """A new worker does not mark the job of a process that still runs."""
    alive = f"{jobs.me().split(':')[0]}:{os.getppid()}"
    with app.app_context():
        db.session.execute(db.update(Job).values(state="running", owner=alive))
        db.session.commit()
        assert jobs.fail_abandoned() == 0
    assert user.status(large)["state"] == "running"


def test_analysis_deleted_while_it_waits_is_not_run(app: Flask, user: ScreenerClient, large: int) -> None:
    """Its job is deleted with it, and the worker has nothing to do."""
    user.delete([large])
    assert Worker(app).work() is False


def test_every_job_is_claimed_exactly_once(make_app: MakeApp, database_url: str) -> None:
    """Eight threads claim forty jobs on either database; none is claimed twice, and none is left."""
    app = make_app(SCREENER_DATABASE_URL=database_url)
    with app.app_context():
        user_id = db.session.scalar(db.select(User.id).limit(1))
        for _ in range(40):
            analysis = Analysis(user_id=user_id, num_candidates=1, num_criteria=1, cost_usd=1)
            db.session.add(analysis)
            db.session.flush()
            db.session.add(Job(analysis_id=analysis.id, state="queued"))
        db.session.commit()

    def claim_all(_: int) -> list[int]:
        with app.app_context():
            return list(iter(jobs.claim, None))

    with ThreadPoolExecutor(8) as pool:
        claimed = [number for numbers in pool.map(claim_all, range(8)) for number in numbers]
    assert sorted(claimed) == list(range(1, 41))
