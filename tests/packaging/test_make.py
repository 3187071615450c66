"""Set-up on machines without a suitable Python, and what continuous integration adds to the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

TOO_OLD = """#!/bin/sh
[ "$1" = -V ] && echo "Python 3.9.2" && exit
exit 1
"""
WITHOUT_VENV = """#!/bin/sh
case "$2" in *ensurepip*) exit 1 ;; esac
"""


def make_install(directory: Path, python: str) -> subprocess.CompletedProcess[str]:
    for name in ("Makefile", "constraints.txt", "pyproject.toml"):
        shutil.copy(ROOT / name, directory)
    command = ["make", "install", f"PYTHON={python}"]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("script", "complaint"),
    [
        (None, "./python not found: install Python 3.11 or newer"),
        (TOO_OLD, "./python is Python 3.9.2, 3.11 or newer is needed"),
        (WITHOUT_VENV, "./python has no venv module: install it"),
    ],
)
def test_unsuitable_python_is_reported_in_one_line(
    tmp_path: Path, script: str | None, complaint: str
) -> None:
    """The line says what to do, and no incomplete environment is left."""
    if script:
        (tmp_path / "python").write_text(script)
        (tmp_path / "python").chmod(0o755)

    done = make_install(tmp_path, "./python")

    assert done.returncode != 0
    assert done.stderr.startswith(complaint)
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(("environment", "status"), [({}, 0), ({"CI": "true"}, 1)])
def test_skipped_tests_fail_in_continuous_integration(
    tmp_path: Path, environment: dict[str, str], status: int
) -> None:
    """A developer may skip a test, continuous integration may not."""
    (tmp_path / "test_one.py").write_text("import pytest\n\ndef test_one():\n    pytest.skip('not today')\n")
    outside_ci = {name: value for name, value in os.environ.items() if name != "CI"}
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "tests.conftest", str(tmp_path)]

    done = subprocess.run(
        command, cwd=ROOT, env=outside_ci | environment, capture_output=True, text=True, check=False
    )

    assert done.returncode == status, done.stdout + done.stderr
    assert ("1 skipped, which CI does not allow" in done.stdout) == bool(status)


def test_continuous_integration_runs_make_test() -> None:
    """There is one way to check the project, and CI uses it without exceptions."""
    script = ROOT / ".ci" / "run"

    assert os.access(script, os.X_OK)
    assert script.read_text().rstrip().endswith("CI=true make test")
