"""`make stack`: the programs of docker-compose.yml as processes, and none left after Ctrl-C."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode
from urllib.request import urlopen

import psycopg
import pytest

from tests import runs
from tests.stack import files
from tests.stack.local import NOT_HERE
from tests.tools import program
from tests.waiting import until

PROGRAMS = ("alertmanager", "jaeger", "otelcol", "prometheus")


@contextmanager
def stack() -> Iterator[tuple[subprocess.Popen[str], dict[str, str]]]:
    """Run the command in a run of its own, until it has printed the addresses."""
    env = {name: value for name, value in os.environ.items() if name != runs.VARIABLE}
    command = [sys.executable, "-m", "tests.stack"]
    with subprocess.Popen(
        command,
        cwd=files.ROOT,
        env={**env, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process, _addresses(process)
        finally:
            process.send_signal(signal.SIGINT)
            process.wait(120)


def _addresses(process: subprocess.Popen[str]) -> dict[str, str]:
    assert process.stdout
    said: list[str] = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Ctrl-C"):
            return dict(re.findall(r"^  (\w[\w ]+?)  +(\S+)", "".join(said), re.MULTILINE))
    raise AssertionError(f"it did not start:\n{''.join(said)}")


def asked(url: str, **parameters: str) -> Any:
    """Return the JSON that an address answers."""
    with urlopen(f"{url}?{urlencode(parameters)}" if parameters else url, timeout=30) as answer:
        return json.load(answer)["data"]


def left(folder: str) -> list[str]:
    """Return the command lines of processes that name a folder, or have it in their environment."""
    found = []
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            texts = [(entry / name).read_bytes() for name in ("cmdline", "environ")]
        except OSError:
            continue  # it has ended, or is that of somebody else
        if any(folder.encode() in text for text in texts):
            found.append(texts[0].replace(b"\0", b" ").decode(errors="replace"))
    return found


@pytest.mark.timeout(900)
def test_demo_is_in_every_store_and_nothing_is_left() -> None:
    """An analysis of the demo is in PostgreSQL, Prometheus and Jaeger; Ctrl-C ends all processes."""
    for name in PROGRAMS:
        program(name)

    with stack() as (process, addresses):
        with psycopg.connect(addresses["SQL as Grafana"]) as reader:
            rows = reader.execute(
                "SELECT trace_id, api_calls FROM telemetry_jobs ORDER BY started_at"
            ).fetchall()
        assert len(rows) == 2 and all(calls > 0 for _, calls in rows)

        prometheus = addresses["Metrics and alerts"].removesuffix("/api/v1/alerts")
        query = 'sum(last_over_time(analysis_openai_operations_total{job="screener"}[1h]))'
        counted = f"{prometheus}/api/v1/query"
        jobs = sum(int(calls) for _, calls in rows)
        until(lambda: _value(asked(counted, query=query)) >= jobs, 120, what="Prometheus has the calls")
        targets = asked(f"{prometheus}/api/v1/targets", state="active")["activeTargets"]
        assert {target["labels"]["job"] for target in targets} == {"alertmanager", "otelcol", "prometheus"}
        assert asked(f"{prometheus}/api/v1/rules")["groups"]

        jaeger = addresses["Traces"].partition("?")[0]
        for trace, _ in rows:
            until(lambda trace=trace: asked(f"{jaeger}/{trace}"), 120, what="Jaeger has the trace")  # type: ignore[misc]
        folder = str(Path(addresses["Logs"]).parent)
        assert left(folder)

    until(lambda: not left(folder), 60, what="no process is left")
    assert process.returncode == 0
    assert not Path(folder).exists()


def test_every_setting_is_used_here_too() -> None:
    """What is left out are addresses, limits and folders of containers; some have other values here."""
    known = {*files.environment("app"), *files.environment("collector")}

    assert set(NOT_HERE) <= known
    assert {name for name in known if not name.startswith(("COLLECTOR_", "OTEL_", "TELEMETRY_"))} == {
        "GOMEMLIMIT",
        "OPENAI_API_KEY",
        "OPENAI_BASE_URL",
        "SCREENER_DATABASE_URL",
        "SECRET_KEY",
    }


def _value(data: Any) -> float:
    return sum(float(sample["value"][1]) for sample in data["result"])
