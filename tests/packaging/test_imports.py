"""What imports load and require, in a fresh interpreter."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OPTIONAL = [
    "alembic",
    "exporters",
    "flask",
    "genai_prices",
    "openai",
    "opentelemetry.sdk",
    "sqlalchemy",
    "wrapt",
]


def run(program: str, *arguments: str) -> str:
    command = [sys.executable, "-c", program, *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def loaded_by(module: str) -> set[str]:
    program = (
        "import importlib, json, sys\nimportlib.import_module(sys.argv[1])\nprint(json.dumps([*sys.modules]))"
    )
    return set(json.loads(run(program, module)))


@pytest.mark.parametrize("module", ["telemetry", "telemetry.api", "telemetry.conventions"])
def test_telemetry_imports_nothing_optional(module: str) -> None:
    """Of everything that may be installed, application code loads the OpenTelemetry API only."""
    assert loaded_by(module).isdisjoint(OPTIONAL)


@pytest.mark.parametrize("module", ["exporters.rollup.merge", "exporters.rollup.snapshot"])
def test_arithmetic_loads_neither_database_nor_sdk(module: str) -> None:
    """Rollups can be computed anywhere, for example from exported snapshots."""
    assert loaded_by(module).isdisjoint({"flask", "openai", "opentelemetry.sdk", "sqlalchemy"})


def test_api_works_where_nothing_optional_is_installed() -> None:
    """Instrumented code runs without any extra; telemetry then does nothing."""
    program = """
import sys
for name in sys.argv[1:]:
    sys.modules[name] = None  # importing it raises ImportError
import telemetry
with telemetry.run("analysis", user_id=1, candidates=1), telemetry.stage("ranking"):
    with telemetry.document("resume.pdf", size=10) as document:
        document.score(85, out_of=100)
    telemetry.count("app_retries")
print("done")
"""
    assert run(program, *OPTIONAL) == "done\n"
