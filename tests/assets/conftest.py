"""The command, as an operator calls it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from exporters.assets.contents import contents
from telemetry.cli.group import cli
from telemetry.settings import Settings

ALL = contents(Settings())
MONEY = "prometheus/rules/money.yml"
COST = "grafana/dashboards/analysis-cost.json"
BUDGET = {"TELEMETRY_BUDGET_MONTH_USD": "2000"}
OF_BUDGET = [
    COST,
    "grafana/dashboards/analysis-overview.json",
    "kubernetes/dashboards/analysis-cost.yaml",
    "kubernetes/dashboards/analysis-overview.yaml",
    "kubernetes/rules/money.yaml",
    MONEY,
]


@dataclass
class Command:
    """The command with its directory."""

    directory: Path

    def __call__(self, *options: str, **settings: str) -> tuple[int, str]:
        """Return the exit status and everything that is printed."""
        done = CliRunner(env=settings).invoke(cli, ["assets", str(self.directory), *options])
        return done.exit_code, done.output

    def states(self, *options: str, **settings: str) -> dict[str, Any]:
        """Return what it says with --json."""
        done = CliRunner(env=settings).invoke(cli, ["assets", str(self.directory), "--json", *options])
        assert done.exit_code == ("--check" in options and not json.loads(done.stdout)["is_up_to_date"])
        shown: dict[str, Any] = json.loads(done.stdout)
        return shown

    def files(self) -> set[str]:
        """Return the paths of all files in the directory."""
        found = (path for path in self.directory.rglob("*") if not path.is_dir())
        return {path.relative_to(self.directory).as_posix() for path in found}


@pytest.fixture
def assets(tmp_path: Path) -> Command:
    return Command(tmp_path / "assets")
