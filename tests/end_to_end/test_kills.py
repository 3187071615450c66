"""The cost of an analysis whose process is stopped or killed is in the database, exactly."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
import sqlalchemy as sa

from examples.screener.standin.client import StandIn
from exporters.process.spool_keeper import SpoolKeeper
from exporters.sql.schema import tables
from telemetry.settings import Settings
from tests.choice import first_of
from tests.end_to_end.conftest import NewDatabase
from tests.end_to_end.database import Row
from tests.end_to_end.documents import resume
from tests.end_to_end.ledger import Line, Truth, dollars, truth
from tests.end_to_end.stack import Stack
from tests.end_to_end.submission import draft
from tests.spool import snapshots
from tests.waiting import until

CRITERIA = 4
UNANSWERED = (2,)
"""Numbers of the résumés whose ratings are never answered."""
RESUMES = range(1, 7)
ANSWERED = 1 + CRITERIA * (len(RESUMES) - len(UNANSWERED))
"""Calls of the analysis that are answered: one embedding, and the ratings of the other résumés."""
HANGING = [
    {"match": {"task": "rank", "contains": f"Reference {number}\n"}, "delay_ms": 45_000}
    for number in UNANSWERED
]
EVERYTHING_TO_WORKER = {"SCREENER_REQUEST_LIMIT": "0", "SCREENER_CONCURRENCY": "32"}
CHECKPOINTS = {"TELEMETRY_CHECKPOINT_SECONDS": "0.2"}


@pytest.fixture(
    scope="module", params=first_of(["postgresql", "sqlite"], "the demo, which is tested too, runs on SQLite")
)
def system(
    request: pytest.FixtureRequest,
    new_database: NewDatabase,
    shared_standin: StandIn,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Stack]:
    """App and worker; all analyses go to the worker, which writes five checkpoints a second."""
    folder, settings = tmp_path_factory.mktemp("kills"), {**EVERYTHING_TO_WORKER, **CHECKPOINTS}
    with Stack(folder, new_database(request.param), shared_standin, **settings) as stack:
        stack.web()
        stack.worker()
        yield stack


@pytest.fixture
def stack(system: Stack, standin: StandIn) -> Stack:
    """The system, with an empty ledger and no faults."""
    return system


def test_run_of_a_killed_worker_is_interrupted(stack: Stack) -> None:
    """When a worker runs again, the run has everything that the last checkpoint held."""
    stack.standin.faults(HANGING)
    client = stack.client()
    analysis = client.start(draft(client, [resume(number).file for number in RESUMES]))["analysis"]
    until(lambda: _calls(stack, analysis) == ANSWERED, what="a checkpoint with all that was answered")
    killed, web = stack.processes["worker"], stack.processes["web"]
    killed.kill()
    before = _run(stack, analysis)
    lines = stack.standin.ledger()["attempts"]

    assert before["status"] == "running"
    assert stack.sql.analysis(analysis)["status"] is None

    stack.standin.faults([])
    stack.worker()
    stack.settle()
    run, row, answered = _run(stack, analysis), stack.sql.analysis(analysis), truth(_answered(lines))

    assert (run["status"], row["status"]) == ("interrupted", "interrupted")
    assert (run["api_calls"], run["unfinished"]) == (ANSWERED, CRITERIA * len(UNANSWERED))
    assert not run["cost_complete"]
    assert _sums(stack.sql.runs(analysis)) == _expected(answered)
    assert row["api_calls_made"] == answered.calls
    assert dollars(answered.cost_pico) == dollars(round(float(row["total_api_cost"]) * 10**12))
    assert row["candidates_above_70_percent"] in (None, 0)
    assert client.wait(analysis)["state"] == "failed"
    assert web.is_running
    assert len(list(stack.spool.glob("*/*/lock"))) == 3  # the dead process's folder is removed

    again = client.start(draft(client, [resume(1).file]))["analysis"]
    assert client.wait(again)["state"] == "completed"
    stack.settle()
    everything = stack.standin.ledger()["attempts"]

    assert _run(stack, analysis) == run
    assert _sums(stack.sql.runs(analysis) + stack.sql.runs(again)) == _expected(truth(_answered(everything)))


def test_killed_run_has_at_least_its_last_checkpoint(stack: Stack) -> None:
    """Killed at any moment, it never has more than was billed."""
    stack.standin.faults([*HANGING, {"match": {"task": "rank"}, "delay_ms": 150}])
    client = stack.client()
    numbers = range(1, 25)
    analysis = client.start(draft(client, [resume(number).file for number in numbers]))["analysis"]
    until(lambda: _calls(stack, analysis) > 20, what="some ratings in the database")
    stack.processes["worker"].kill()
    known = _run(stack, analysis)
    left = [snapshot for snapshot in snapshots(stack.spool) if snapshot.run_id == known["run_id"]]
    in_spool = sum(usage.cost_pico for snapshot in left for usage in snapshot.usage.values())
    billed = truth(stack.standin.ledger()["attempts"])
    stack.worker()
    stack.settle()
    run = _run(stack, analysis)
    total = _sums(stack.sql.runs(analysis))

    assert known["status"] == "running"
    assert len(left) == 1
    assert run["status"] == "interrupted"
    assert run["api_calls"] < 1 + CRITERIA * len(numbers)
    assert run["cost_pico"] >= max(known["cost_pico"], in_spool) > 0
    assert run["cost_pico"] == max(known["cost_pico"], in_spool)
    assert total["cost_pico"] <= billed.cost_pico
    assert total["api_calls"] <= billed.calls
    assert total["api_calls"] + run["unfinished"] <= billed.calls


def test_job_returned_by_a_worker_is_run_again(stack: Stack) -> None:
    """A second SIGTERM makes the worker return its job; both runs are recorded, and the row is their sum."""
    stack.standin.faults(HANGING)
    client, worker = stack.client(), stack.processes["worker"]
    number = draft(client, [resume(number).file for number in RESUMES])
    analysis = client.start(number)["analysis"]
    until(lambda: len(_unanswered(stack.standin)) == CRITERIA * len(UNANSWERED), what="the calls that hang")
    worker.signal(signal.SIGTERM)
    with pytest.raises(TimeoutError):
        client.wait(analysis, timeout=0.5)
    assert worker.is_running
    worker.signal(signal.SIGTERM)
    assert worker.wait() == 0
    assert client.status(analysis)["state"] == "queued"
    stack.settle()

    assert stack.sql.analysis(analysis)["status"] == "interrupted"

    stack.standin.faults([])
    stack.worker()
    assert client.wait(analysis)["state"] == "completed"
    stack.settle()
    first, second = stack.sql.runs(analysis, kind="analysis")
    row, lines = stack.sql.analysis(analysis), stack.standin.ledger()["attempts"]
    answered = truth(_answered(lines))

    assert (first["status"], second["status"]) == ("interrupted", "completed")
    assert not first["cost_complete"] and second["cost_complete"]
    assert first["usage_missing"] + first["unfinished"] == CRITERIA * len(UNANSWERED)
    assert sum(run["cost_pico"] for run in stack.sql.runs(analysis)) == answered.cost_pico
    assert row["status"] == "completed"
    assert round(float(row["total_api_cost"]) * 10**12) == answered.cost_pico
    assert row["total_tokens_used"] == answered.input_tokens + answered.output_tokens
    assert row["api_calls_made"] + first["unfinished"] == truth(lines).calls
    assert second["n_scored"] == len(RESUMES)


def test_request_that_gunicorn_aborts_is_interrupted(
    new_database: NewDatabase, standin: StandIn, tmp_path: Path
) -> None:
    """Gunicorn's timeout raises SystemExit in the request; its run has its exact cost."""
    with Stack(tmp_path, new_database("sqlite"), standin, SCREENER_CONCURRENCY="32") as stack:
        # Loaded before the workers are forked, the app does not use up their timeout while it starts.
        stack.web(timeout=3, preload=True)
        client = stack.client()
        number = draft(client, [resume(number).file for number in RESUMES])
        stack.standin.faults(HANGING)
        with pytest.raises(requests.RequestException):
            client.start(number)
        stack.settle()
        analysis = stack.sql.value("SELECT MAX(id) FROM analyses")
        run, row = _run(stack, analysis), stack.sql.analysis(analysis)
        lines = stack.standin.ledger()["attempts"]
        answered, unanswered = truth(_answered(lines)), CRITERIA * len(UNANSWERED)

        assert "WORKER TIMEOUT" in stack.processes["web"].text()
        assert (run["status"], row["status"]) == ("interrupted", "interrupted")
        assert run["usage_missing"] + run["unfinished"] == unanswered
        assert not run["cost_complete"]
        assert _sums(stack.sql.runs(analysis), "cost_pico", "input_tokens", "output_tokens") == {
            "cost_pico": answered.cost_pico,
            "input_tokens": answered.input_tokens,
            "output_tokens": answered.output_tokens,
        }
        assert _sums(stack.sql.runs(analysis))["api_calls"] + run["unfinished"] == truth(lines).calls
        assert 2_000_000 < run["duration_us"] < 10_000_000
        assert row["error_count"] == 0


PLAIN_WORKER = """
import sys, threading, time
import telemetry
from openai import OpenAI
from telemetry.setup import setup_telemetry

def call(model="gpt-4o-mini"):
    with telemetry.stage("ranking"):
        client.chat.completions.create(model=model, messages=[{"role": "user", "content": "Rank"}])

setup_telemetry()
client = OpenAI(base_url=sys.argv[1], api_key="any", max_retries=0)
run = telemetry.start_run("analysis", user_id=1, candidates=2)
run.link(5)
for _ in range(8):
    call()
if sys.argv[2] == "open":
    threading.Thread(target=call, args=("gpt-4o",), daemon=True).start()
print("spent", flush=True)
time.sleep(60)
"""


@pytest.mark.parametrize("last_call", ["answered", "open"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_script_without_signal_handler_is_accounted(
    new_database: NewDatabase, standin: StandIn, tmp_path: Path, number: signal.Signals, last_call: str
) -> None:
    """Ended in its first second, its cost is exact after SIGTERM, and marked as incomplete after SIGKILL."""
    url = new_database("sqlite")
    settings = Settings(database_url=url, spool_dir=tmp_path / "spool", hmac_key="k")
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("TELEMETRY_")},
        **dict.fromkeys(("OTEL_TRACES_EXPORTER", "OTEL_METRICS_EXPORTER", "OTEL_LOGS_EXPORTER"), "none"),
        "TELEMETRY_DATABASE_URL": url,
        "TELEMETRY_SPOOL_DIR": str(settings.spool_dir),
        "TELEMETRY_HMAC_KEY": "k",
    }
    standin.faults([{"match": {"model": "gpt-4o"}, "delay_ms": 45_000}])
    command = [sys.executable, "-c", PLAIN_WORKER, standin.url, last_call]
    worker = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True)
    assert worker.stdout is not None and worker.stdout.readline() == "spent\n"
    is_open = last_call == "open"
    until(lambda: len(standin.ledger()["attempts"]) == 8 + is_open, what="the calls")
    billed = truth([line for line in standin.ledger()["attempts"] if not line["delay_ms"]])
    worker.send_signal(number)
    worker.communicate(timeout=300)
    assert worker.returncode == -number
    assert SpoolKeeper(settings).recover(30)

    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        (run,) = connection.execute(sa.select(tables.runs)).mappings()
    assert (run["status"], run["analysis_ref"]) == ("interrupted", 5)
    if number == signal.SIGTERM:
        assert (run["api_calls"], run["cost_pico"]) == (8, billed.cost_pico)
        assert (run["unfinished"], run["unclosed"]) == (int(is_open), 0)
        assert run["cost_complete"] is not is_open
    else:
        assert 1 <= run["api_calls"] <= 8
        assert 0 < run["cost_pico"] <= billed.cost_pico
        assert (run["unclosed"], run["cost_complete"]) == (1, False)


def _answered(lines: list[Line]) -> list[Line]:
    return [line for line in lines if line["delay_ms"] == 0]


def _unanswered(standin: StandIn) -> list[Line]:
    return [line for line in standin.ledger()["attempts"] if line["delay_ms"] > 0]


def _run(stack: Stack, analysis: int) -> Row:
    runs = stack.sql.runs(analysis, kind="analysis")
    assert len(runs) == 1
    return runs[0]


def _calls(stack: Stack, analysis: int) -> int:
    return sum(run["api_calls"] for run in stack.sql.runs(analysis, kind="analysis"))


def _sums(runs: list[Row], *names: str) -> dict[str, int]:
    names = names or ("api_calls", "attempts", "input_tokens", "output_tokens", "cached_tokens", "cost_pico")
    return {name: sum(run[name] for run in runs) for name in names}


def _expected(expected: Truth) -> dict[str, int]:
    return {
        "api_calls": expected.calls,
        "attempts": expected.attempts,
        "input_tokens": expected.input_tokens,
        "output_tokens": expected.output_tokens,
        "cached_tokens": expected.cached_tokens,
        "cost_pico": expected.cost_pico,
    }
