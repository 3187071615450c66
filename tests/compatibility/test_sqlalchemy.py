"""Writing to the database, and its migrations, with the oldest supported SQLAlchemy."""

from __future__ import annotations

import subprocess

import pytest

from tests.environments import ROOT, interpreter

TESTS = (
    "tests/exporters/test_projection.py",
    "tests/exporters/test_sql.py",
    "tests/exporters/test_waste.py",
    "tests/exporters/test_writer.py",
    "tests/migrations/test_up_and_down.py",
)


@pytest.mark.whole_matrix("hundreds of tests once more, on another version")
@pytest.mark.timeout(900)
def test_writer_and_migrations_on_sqlalchemy_2_0() -> None:
    """The same tests pass with SQLAlchemy 2.0, with either driver and on SQLite."""
    python = interpreter("sqlalchemy-2.0", with_project=True)
    version = subprocess.run(
        [python, "-c", "import sqlalchemy; print(sqlalchemy.__version__)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert version.stdout.startswith("2.0.")
    # The version of PostgreSQL makes no difference here.
    chosen = ["-k", "not newest and not pgbouncer", "-p", "no:cacheprovider", "-q", *TESTS]
    done = subprocess.run(
        [python, "-m", "pytest", *chosen], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-5000:]
