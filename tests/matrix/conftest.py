"""Runs the matrix once for each version of ``openai``, and prints its table after the test run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from examples.screener.standin.client import StandIn
from exporters.sql.schema import migrate
from tests.environments import EnvironmentFailed
from tests.matrix.environments import Environment, environments
from tests.matrix.outcomes import fault_rules
from tests.matrix.results import Results, RunFailed, run_matrix
from tests.matrix.table import table

_results = pytest.StashKey[dict[Environment, Results]]()

Run = Callable[..., Results]
Get = Callable[[Environment], Results]


@pytest.fixture(scope="session")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A function that runs the matrix in an environment, with a stand-in and a database of its own."""
    template = tmp_path_factory.mktemp("template") / "host.sqlite"
    migrate.upgrade(f"sqlite:///{template}", with_base_tables=True)

    def run(environment: Environment, **options: Any) -> Results:
        folder = tmp_path_factory.mktemp("matrix")
        database = Path(shutil.copy(template, folder / "host.sqlite"))
        with StandIn(list(fault_rules())) as standin:
            return run_matrix(environment, standin, database, folder / "spool", **options)

    return run


@pytest.fixture(scope="session")
def results_of(request: pytest.FixtureRequest, run: Run) -> Iterator[Get]:
    """A function that returns the results of an environment; all environments run concurrently."""
    cached = request.config.stash.setdefault(_results, {})
    wanted = {environment for item in request.session.items for environment in _wanted_by(item)}
    with ThreadPoolExecutor(len(wanted)) as pool:
        running = {environment: pool.submit(run, environment) for environment in wanted}

        def results(environment: Environment) -> Results:
            try:
                cached[environment] = running[environment].result()
            except (EnvironmentFailed, RunFailed) as error:
                pytest.fail(str(error), pytrace=False)
            return cached[environment]

        yield results


def _wanted_by(item: pytest.Item) -> Iterator[Environment]:
    """Yield the environment whose results a test needs: that of its parameter, else the current one."""
    if isinstance(item, pytest.Function) and "results_of" in item.fixturenames:
        named: Any = item.callspec.params.get("version")
        yield named or next(current for current in environments() if current.is_this_one)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Print the table, also with `--quiet`."""
    results = list(config.stash.get(_results, {}).values())
    if results:
        terminalreporter.section("accounting of OpenAI calls")
        for line in table(results):
            terminalreporter.line(line)
