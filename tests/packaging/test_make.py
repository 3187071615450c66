"""Set-up on machines without a suitable Python, and what continuous integration adds to the tests."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.choice import VARIABLE

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


def test_continuous_integration_runs_everything() -> None:
    """There is one way to check the project, and CI uses it with the whole matrix, without exceptions.

    The live proof of the alerts comes last, when nothing else takes the processor from it.
    """
    script = ROOT / ".ci" / "run"

    assert os.access(script, os.X_OK)
    commands = [line for line in script.read_text().splitlines() if "make " in line and line[0] != "#"]
    assert commands == ["make tools", "CI=true make test-all", "make e2e"]


@pytest.mark.parametrize(("matrix", "passed"), [("", "1 passed, 1 deselected"), ("all", "2 passed")])
def test_the_whole_matrix(tmp_path: Path, matrix: str, passed: str) -> None:
    """What belongs to the whole matrix alone is left out of `make test`, and is no skipped test."""
    (tmp_path / "test_one.py").write_text(
        "import pytest\n\n"
        "@pytest.mark.parametrize('number', [1, pytest.param(2, marks=pytest.mark.whole_matrix('long'))])\n"
        "def test_one(number):\n    pass\n"
    )
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "tests.conftest", str(tmp_path)]

    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {VARIABLE: matrix}, capture_output=True, text=True, check=False
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert passed in done.stdout


def test_make_test_all_is_make_test_with_one_variable() -> None:
    """`make test-all` runs the command of `make test`, on the whole matrix."""
    printed = {
        target: subprocess.run(
            ["make", "-n", target], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout
        for target in ("test", "test-all")
    }

    assert printed["test"] == printed["test-all"]
    assert f"test-all: export {VARIABLE} := all\n" in (ROOT / "Makefile").read_text()
