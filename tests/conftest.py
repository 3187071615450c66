"""Fixtures for all tests: real, empty databases, which are dropped afterwards."""

from __future__ import annotations

import functools
import gc
import os
import signal
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from telemetry._internal.guard import raise_internal_errors, reset_internal_errors
from telemetry._internal.urls import secrets
from tests import choice, runs, tools
from tests.fresh import LIBRARIES, Nursery, nursery
from tests.fresh.command import flask_command
from tests.pgbouncer import PgBouncer, PgBouncerUnavailable
from tests.postgres import PostgresUnavailable, TemporaryPostgres, available_binaries, major_version

LONG = {"collector", "compatibility", "demo", "end_to_end", "live", "matrix", "packaging", "privacy", "soak"}
"""Folders of long tests, which run whole applications or install packages."""


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "internal_errors: the test expects internal errors of telemetry, which are counted, not raised",
    )
    config.addinivalue_line("markers", f"whole_matrix(reason): runs only with {choice.VARIABLE}=all")
    settings.register_profile("chosen", max_examples=choice.examples(100))  # 100 is Hypothesis's own number
    settings.load_profile("chosen")
    runs.folder()  # now, so that all children of this process belong to the run
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(runs.temporary()))  # where `tmp_path` is
    # Each OpenAI client reads all certificates that there are, and takes 15 ms for that. None is used here.
    ssl.create_default_context = functools.cache(ssl.create_default_context)  # type: ignore[assignment]
    # In background jobs of a shell Ctrl-C is ignored, but tests send SIGINT to their processes.
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Spare the garbage collector the objects of all tests, which live to the end."""
    gc.collect()
    gc.freeze()


def pytest_keyboard_interrupt() -> None:
    """End everything at once: xdist would wait for its workers, and these for their children."""
    runs.end()


@pytest.fixture(autouse=True)
def internal_errors_fail(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test in which telemetry has an internal error, of which a host would see nothing."""
    reset_internal_errors()
    before = raise_internal_errors(request.node.get_closest_marker("internal_errors") is None)
    yield
    raise_internal_errors(before)
    reset_internal_errors()


@pytest.fixture(autouse=True)
def no_secrets_of_other_tests(monkeypatch: pytest.MonkeyPatch) -> None:
    """A password that another test has used is not removed from what this one reads."""
    monkeypatch.setattr(secrets, "_known", {})


@pytest.fixture(scope="session")
def libraries() -> Iterator[Nursery]:
    """Runs programs for which the libraries are imported already, and nothing of this project."""
    with nursery(LIBRARIES) as started:
        yield started


@pytest.fixture(scope="session")
def flask() -> Iterator[Path]:
    """A command `flask` for shells that starts at once."""
    with flask_command() as command:
        yield command


@pytest.fixture(scope="session")
def postgres() -> TemporaryPostgres:
    """One PostgreSQL server for the whole test run, which all its processes share."""
    try:
        return TemporaryPostgres.shared("preferred")
    except PostgresUnavailable as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture(scope="session")
def newest_postgres() -> TemporaryPostgres:
    """A server of the newest available version, once for the whole test run."""
    newest = max(available_binaries(), key=lambda binaries: major_version(binaries) or 0)
    return TemporaryPostgres.shared("newest", newest)


@pytest.fixture(scope="session")
def pgbouncer(postgres: TemporaryPostgres) -> PgBouncer:
    """A pooler in transaction mode in front of the server, once for the whole test run."""
    try:
        return PgBouncer.shared(postgres)
    except PgBouncerUnavailable as error:
        pytest.fail(str(error), pytrace=False)


@pytest.fixture
def postgres_url(postgres: TemporaryPostgres) -> Iterator[str]:
    """The URL of an empty PostgreSQL database, with psycopg2."""
    url = postgres.create_database()
    yield url
    postgres.drop_database(url)


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    """The URL of an empty SQLite database."""
    return f"sqlite:///{tmp_path / 'test.sqlite'}"


@pytest.fixture(params=["sqlite", "postgresql"])
def database_url(request: pytest.FixtureRequest) -> str:
    """The URL of an empty database, once for each kind."""
    fixture = "sqlite_url" if request.param == "sqlite" else "postgres_url"
    url: str = request.getfixturevalue(fixture)
    return url


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Deselect the tests that belong to the whole matrix alone, and begin with the long ones.

    If they began last, one process would be busy long after the others.
    """
    items.sort(key=lambda item: item.path.parent.name not in LONG)
    if not choice.whole_matrix():
        left_out = [item for item in items if item.get_closest_marker("whole_matrix")]
        if left_out:
            config.hook.pytest_deselected(items=left_out)
            items[:] = [item for item in items if item not in set(left_out)]


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say in one line what was skipped for want of programs."""
    if line := tools.skipped(terminalreporter.stats.get("skipped", [])):
        terminalreporter.write_line(line, yellow=True)


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Fail a run with skipped tests in continuous integration, where none has a reason to be skipped."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if not reporter or not os.environ.get("CI"):
        return
    if skipped := reporter.stats.get("skipped"):
        reporter.write_line(f"\n{len(skipped)} skipped, which CI does not allow", red=True)
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
