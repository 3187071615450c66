"""The matrix is run once for each version of ``openai``, and its table stands at the end of the test run."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from examples.screener.standin.client import StandIn
from exporters import migrate

from .environments import Environment, EnvironmentFailed
from .outcomes import fault_rules
from .results import Results, RunFailed, run_matrix
from .table import table

_results = pytest.StashKey[dict[Environment, Results]]()


@pytest.fixture(scope="session")
def results_of(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[[Environment], Results]]:
    """Gives the results of an environment, which are made when they are asked for first."""
    folder = tmp_path_factory.mktemp("matrix")
    template = folder / "template.sqlite"
    migrate.upgrade(f"sqlite:///{template}", with_base_tables=True)
    kept = request.config.stash.setdefault(_results, {})
    with StandIn(list(fault_rules())) as standin:

        def results(environment: Environment) -> Results:
            if environment not in kept:
                kept[environment] = _run(environment, standin, folder / environment.openai, template)
            return kept[environment]

        yield results


def _run(environment: Environment, standin: StandIn, folder: Path, template: Path) -> Results:
    folder.mkdir()
    database = folder / "host.sqlite"
    shutil.copy(template, database)
    try:
        return run_matrix(environment, standin, database, folder / "spool")
    except (EnvironmentFailed, RunFailed) as error:
        pytest.fail(str(error), pytrace=False)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the table, however quiet pytest is."""
    results = list(config.stash.get(_results, {}).values())
    if results:
        terminalreporter.section("accounting of OpenAI calls")
        for line in table(results):
            terminalreporter.line(line)
