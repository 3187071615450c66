"""What a process that is ended in the middle of an analysis had spent stands in SQL, exactly."""

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
from tests.end_to_end.stack import Stack, wait_until
from tests.end_to_end.submission import draft
from tests.spool import snapshots

CRITERIA = 4
CUT = (2,)
"""Numbers of the résumés whose ratings never come."""
RESUMES = range(1, 7)
QUICK = 1 + CRITERIA * (len(RESUMES) - len(CUT))
"""Calls of the analysis that are answered: one embedding, and the other ratings."""
HANGING = [
    {"match": {"task": "rank", "contains": f"Reference {number}\n"}, "delay_ms": 45_000} for number in CUT
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
    """App and worker; everything goes to the worker, which saves a checkpoint five times a second."""
    folder, settings = tmp_path_factory.mktemp("kills"), {**EVERYTHING_TO_WORKER, **CHECKPOINTS}
    with Stack(folder, new_database(request.param), shared_standin, **settings) as stack:
        stack.web()
        stack.worker()
        yield stack


@pytest.fixture
def stack(system: Stack, standin: StandIn) -> Stack:
    """The system, with an empty ledger and a service that works."""
    return system


def test_killed_worker(stack: Stack) -> None:
    """Kill -9: once a worker runs again, the run is interrupted, with all that the last checkpoint knew."""
    stack.standin.faults(HANGING)
    client = stack.client()
    analysis = client.start(draft(client, [resume(number).file for number in RESUMES]))["analysis"]
    wait_until("a checkpoint with all that was answered", lambda: _calls(stack, analysis) == QUICK)
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
    assert (run["api_calls"], run["unfinished"]) == (QUICK, CRITERIA * len(CUT))
    assert not run["cost_complete"]
    assert _sums(stack.sql.runs(analysis)) == _expected(answered)
    assert row["api_calls_made"] == answered.calls
    assert dollars(answered.cost_pico) == dollars(round(float(row["total_api_cost"]) * 10**12))
    assert row["candidates_above_70_percent"] in (None, 0)
    assert client.wait(analysis)["state"] == "failed"
    assert web.is_running
    assert len(list(stack.spool.glob("*/*/lock"))) == 3  # what the dead process left is gone

    again = client.start(draft(client, [resume(1).file]))["analysis"]
    assert client.wait(again)["state"] == "completed"
    stack.settle()
    everything = stack.standin.ledger()["attempts"]

    assert _run(stack, analysis) == run
    assert _sums(stack.sql.runs(analysis) + stack.sql.runs(again)) == _expected(truth(_answered(everything)))


def test_killed_in_full_flow(stack: Stack) -> None:
    """Killed at any moment, a run has at least what a checkpoint had, never more than was billed."""
    stack.standin.faults([*HANGING, {"match": {"task": "rank"}, "delay_ms": 150}])
    client = stack.client()
    numbers = range(1, 25)
    analysis = client.start(draft(client, [resume(number).file for number in numbers]))["analysis"]
    wait_until("some ratings in the database", lambda: _calls(stack, analysis) > 20)
    stack.processes["worker"].kill()
    known = _run(stack, analysis)
    left = [each for each in snapshots(stack.spool) if each.run_id == known["run_id"]]
    in_spool = sum(usage.cost_pico for each in left for usage in each.usage.values())
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


def test_worker_terminated_twice(stack: Stack) -> None:
    """A worker that is told twice gives its job back; both attempts are runs, and the row is their sum."""
    stack.standin.faults(HANGING)
    client, worker = stack.client(), stack.processes["worker"]
    number = draft(client, [resume(number).file for number in RESUMES])
    analysis = client.start(number)["analysis"]
    wait_until("the calls that hang", lambda: len(_cut(stack.standin)) == CRITERIA * len(CUT))
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
    assert first["usage_missing"] + first["unfinished"] == CRITERIA * len(CUT)
    assert sum(run["cost_pico"] for run in stack.sql.runs(analysis)) == answered.cost_pico
    assert row["status"] == "completed"
    assert round(float(row["total_api_cost"]) * 10**12) == answered.cost_pico
    assert row["total_tokens_used"] == answered.input_tokens + answered.output_tokens
    assert row["api_calls_made"] + first["unfinished"] == truth(lines).calls
    assert second["n_scored"] == len(RESUMES)


def test_request_that_gunicorn_ends(new_database: NewDatabase, standin: StandIn, tmp_path: Path) -> None:
    """A request over gunicorn's timeout is interrupted by SystemExit, and its run has its exact spend."""
    with Stack(tmp_path, new_database("sqlite"), standin, SCREENER_CONCURRENCY="32") as stack:
        # Loaded before the workers are forked, the app does not spend their time-out on starting.
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
        answered, cut = truth(_answered(lines)), CRITERIA * len(CUT)

        assert "WORKER TIMEOUT" in stack.processes["web"].text()
        assert (run["status"], row["status"]) == ("interrupted", "interrupted")
        assert run["usage_missing"] + run["unfinished"] == cut
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
def test_plain_worker(
    new_database: NewDatabase, standin: StandIn, tmp_path: Path, number: signal.Signals, last_call: str
) -> None:
    """A script without a handler, ended in its first second: by SIGTERM exact, by SIGKILL never complete."""
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
    wait_until("the calls", lambda: len(standin.ledger()["attempts"]) == 8 + is_open)
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


def _cut(standin: StandIn) -> list[Line]:
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


def _expected(found: Truth) -> dict[str, int]:
    return {
        "api_calls": found.calls,
        "attempts": found.attempts,
        "input_tokens": found.input_tokens,
        "output_tokens": found.output_tokens,
        "cached_tokens": found.cached_tokens,
        "cost_pico": found.cost_pico,
    }
