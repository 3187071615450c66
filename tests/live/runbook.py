"""Does what a runbook says under Diagnosis, against the incident that it is for."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from functools import partial
from typing import Final
from urllib.error import HTTPError

import sqlalchemy as sa

from tests import fresh
from tests.end_to_end.processes import ROOT
from tests.live.system import System
from tests.runbooks import FOLDER, diagnosis
from tests.tools import program
from tests.waiting import NotInTime, until

FINDS: Final = re.compile(
    r"flask telemetry (doctor|insights|validate|assets --check|db current)|pg_isready|promtool check|curl"
)
"""Commands that may fail, since they tell by it that something is wrong."""
WRONG: Final = re.compile(r"Traceback|^Usage:|No such command|command not found", re.M)
SHOWS_WITHIN: Final = 30.0
"""Seconds within which something is shown: an alert may come before the last row is written."""
ASSETS: Final = "/etc/analysis-telemetry"
HOSTS: Final = ("otelcol:13133", "alertmanager:9093", "postgres-exporter:9187", "localhost:9090")


def problems(alert: str, system: System) -> Iterator[str]:
    """Yield what of a runbook does not work, while its alert fires."""
    blocks: dict[str, list[str]] = {}
    for language, text in diagnosis(FOLDER / f"{alert}.md"):
        blocks.setdefault(language, []).append(text)
    for language, texts in blocks.items():
        try:
            until(partial(_shown, language, texts, system), SHOWS_WITHIN)
        except NotInTime:
            yield f"{alert}: nothing of the runbook in {language} shows the incident"
        except (sa.exc.SQLAlchemyError, OSError, AssertionError, ValueError) as error:
            yield f"{alert}: {_reason(error)}"


def _shown(language: str, texts: list[str], system: System) -> int:
    return sum(_try(language, text, system) for text in texts)


def _try(language: str, text: str, system: System) -> int:
    """Try a block, and return how many samples, rows or lines it shows."""
    if language == "promql":
        return sum(len(system.prometheus.query(each)) for each in text.split("\n\n"))
    if language == "sql":
        with system.app.sql.engine.connect() as connection:
            statements = [each for each in text.split(";") if each.strip()]
            return sum(len(connection.execute(sa.text(each)).all()) for each in statements)
    return sum(_run(line, system) for line in re.findall(r"^\$ (.+)$", text, re.M))


def _run(line: str, system: System) -> int:
    """Run a command, and return how many lines it prints."""
    done = _done(_at_home(line, system), system)
    printed = done.stdout + done.stderr
    assert (done.returncode == 0 or FINDS.match(line)) and not WRONG.search(printed), (
        f"`{line}` exits {done.returncode}: {printed[-1000:]}"
    )
    return len(printed.splitlines())


def _at_home(line: str, system: System) -> list[str]:
    """Return a command with the places of this system."""
    places = (
        system.collector.health,
        system.alertmanager.url,
        f"http://{system.exporter.place}",
        system.prometheus.url,
    )
    for host, place in zip(HOSTS, places, strict=True):
        line = line.replace(f"http://{host}", place)
    line = line.replace("/etc/prometheus/prometheus.yml", str(system.prometheus.file))
    line = line.replace(ASSETS, str(system.assets))
    line = line.replace("--host=postgres", f"--host=127.0.0.1 --port={system.postgres.port}")
    words = shlex.split(line)
    if words[0] == "amtool":
        words.append(f"--alertmanager.url={system.alertmanager.url}")
    return words


def _done(words: list[str], system: System) -> subprocess.CompletedProcess[str]:
    environment = system.app.environment(FLASK_APP="examples.screener.wsgi")
    if words[0] == "flask":
        return fresh.run("-m", *words, cwd=ROOT, env=environment)
    if words[0] in ("amtool", "otelcol", "promtool"):
        words = [str(program(words[0])), *words[1:]]
    path = f"{system.postgres.binaries}{os.pathsep}{environment['PATH']}"
    return subprocess.run(
        words, cwd=ROOT, env=environment | {"PATH": path}, capture_output=True, text=True, timeout=120
    )


def _reason(error: Exception) -> str:
    if isinstance(error, HTTPError):
        return f"Prometheus answers {json.load(error).get('error', error)}"
    return str(error)
