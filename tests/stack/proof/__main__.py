"""Prove docker-compose.yml on the engine that `docker` reaches; ends with a line of JSON.

It clones what is committed, builds, brings everything up as `make up` does, and looks for the demo's analyses
in PostgreSQL, Prometheus and Jaeger; restarts every service while analyses go on; and ends and starts
everything again. With `--local-images` the images of others are built here first, under their names, and
Grafana is left out.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any
from urllib.request import urlopen

from rich.console import Console

from examples.screener.demo.service import Service
from examples.screener.demo.steps import Steps
from examples.screener.demo.submission import Submission
from examples.screener.demo.submit import FAILURES
from tests.stack import files
from tests.stack.proof import grafana, images
from tests.stack.proof.engine import Clone
from tests.stack.proof.order import LABEL, out_of_order
from tests.stack.proof.stores import Stores
from tests.waiting import until

PATIENCE = 180.0
"""Seconds after which something is taken not to happen."""
YEAR = 9_900
"""Analyses of a year, at least; some of the 10,000 have no row."""
BUDGET = "49"
"""US dollars a day that `.env` sets, later on."""
QUICK = 90.0
"""Seconds within which the demo has to be in every store, on a machine that does nothing else."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the proof, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.stack.proof", description=__doc__)
    parser.add_argument("--local-images", action="store_true", help="build the images of others here")
    options = parser.parse_args(arguments)
    figures: dict[str, Any] = {}
    if not shutil.which("docker"):
        print("The proof needs Docker with its plugin Compose: install it.", file=sys.stderr)
        return 1
    if options.local_images:
        try:
            figures["images_seconds"] = _timed("Images of others", images.build)
        except RuntimeError as error:
            print(error, file=sys.stderr)
            return 1
    with Clone(options.local_images) as clone:
        figures["build_seconds"] = _timed("Image of the application", clone.build)
        figures |= Proof(clone).run()
    print(json.dumps(figures))
    if figures["stores_seconds"] > QUICK:
        print(
            f"All is as it should be, but it took longer than {QUICK:g} s until the demo was in every store."
        )
        return 1
    return 0


class Proof:
    """What is to be seen of a stack."""

    def __init__(self, clone: Clone) -> None:
        self.clone = clone

    def run(self) -> dict[str, Any]:
        """Do it all, and return what was measured.

        Raises:
            AssertionError: something is not as it should be.
        """
        began = time.monotonic()
        _timed("Up", self.clone.up)
        healthy = time.monotonic() - began
        self._wait_for_agreement("the demo is in PostgreSQL, Prometheus and Jaeger", jobs=2)
        seconds = time.monotonic() - began
        assert (late := out_of_order(self.clone.events())) == [], late
        memory = self.clone.memory()
        figures = {"healthy_seconds": round(healthy), "stores_seconds": round(seconds)}
        _timed("Settings of .env", self._set)
        _timed("PostgreSQL down", self._lose_database)
        if not self.clone.without:
            _timed("Grafana", lambda: grafana.check(self._grafana()))
        restarts = {
            name: _timed(f"Restart of {name}", partial(self._restart, name)) for name in self.clone.running()
        }
        self._wait_for_agreement("nothing was lost by restarts", jobs=2 + len(restarts))
        memory = {name: max(used, memory.get(name, 0)) for name, used in self.clone.memory().items()}
        down = _timed("Down and up again", self._down_and_up)
        history = _timed("A year of history", self._fill)
        killed = {
            each["Actor"]["Attributes"].get(LABEL) for each in self.clone.events() if each["Action"] == "oom"
        }
        assert not killed, f"killed for want of memory: {killed}"
        assert sum(memory.values()) <= 2048
        return {
            **figures,
            "memory_mib": {name: round(used) for name, used in sorted(memory.items())},
            "memory_mib_total": round(sum(memory.values())),
            "restarts_seconds": restarts,
            "down_and_up_seconds": down,
            "history_seconds": history,
        }

    def _set(self) -> None:
        """Follow the links of alerts; change a budget, and find it in application, rules and dashboards."""
        stores = self._stores()
        for alert in stores.alerts():
            links = alert["annotations"]
            assert links["dashboard_url"].startswith(f"http://127.0.0.1:{os.environ['GRAFANA_PORT']}/d/")
            with urlopen(links["runbook_url"], timeout=30) as answer:
                assert answer.read().decode().startswith(f"# {alert['name']}\n")
        self.clone.set("TELEMETRY_BUDGET_DAY_USD", BUDGET)
        self.clone.compose.up(self.clone.without)
        queries = [rule["query"] for rule in stores.alerts() if rule["name"] == "AnalysisDailyBudgetPassed"]
        assert [query.rpartition("> ")[2] for query in queries] == [BUDGET], queries
        for service in ("app", "worker", "daily-check"):
            given = self.clone.compose.ask("exec", "-T", service, "printenv", "TELEMETRY_BUDGET_DAY_USD")
            assert given == BUDGET, (service, given)
        written = [
            word for word in files.services()["assets"]["command"] if not word.startswith("--overwrite")
        ]
        self.clone.compose.run("run", "--rm", "--no-deps", "assets", *written, "--check")

    def _lose_database(self) -> None:
        """Stop PostgreSQL, and see that Prometheus knows."""
        stores = self._stores()
        down = 'count(pg_up{job="postgres"} == 0)'
        assert stores.value('pg_up{job="postgres"}') == 1
        self.clone.compose.run("stop", "postgres")
        until(lambda: stores.value(down), PATIENCE, what="the exporter says that PostgreSQL is down")
        self.clone.compose.run("start", "postgres")
        until(lambda: not stores.value(down), PATIENCE, what="it says that it is up again")
        until(lambda: "unhealthy" not in self.clone.compose.ask("ps"), PATIENCE, what="nothing is ill")
        self.clone.compose.up(self.clone.without)

    def _restart(self, service: str) -> None:
        """Restart a service, have an analysis done meanwhile, and wait until all is well again."""
        restarting = subprocess.Popen(["docker", "compose", "restart", service], cwd=self.clone.root)
        self._submit()
        assert restarting.wait() == 0
        self.clone.compose.up(self.clone.without)

    def _submit(self) -> None:
        """Submit a small analysis as a user does, who tries again where something fails."""
        url, password = self.clone.url("app", 8000), self.clone.secret("SCREENER_PASSWORD")
        deadline = time.monotonic() + PATIENCE
        with Steps(Console(quiet=True)) as steps:
            while True:
                try:
                    Submission(url, Service(), steps, lambda: None, password).perform_small()
                    return
                except FAILURES:
                    if time.monotonic() > deadline:
                        raise
                    time.sleep(1)

    def _down_and_up(self) -> None:
        """End everything, and find it again afterwards."""
        before = self._stores().jobs()
        self.clone.compose.run("down", "--timeout", "60")
        self.clone.compose.up(self.clone.without)
        stores = self._stores()
        assert before.items() <= stores.jobs().items()
        for trace in before.values():
            assert until(lambda trace=trace: stores.spans(trace), PATIENCE, what="Jaeger has old traces")  # type: ignore[misc]
        assert stores.value("count(count_over_time(analysis_openai_operations_total[2h]))") > 0

    def _fill(self) -> None:
        """Add a year of analyses beside those that are there, while the application runs."""
        before = self._stores().jobs()
        self.clone.compose.run("run", "--rm", "history")
        after = self._stores().jobs()
        assert before.items() <= after.items()
        assert len(after) - len(before) > YEAR
        self._submit()

    def _wait_for_agreement(self, what: str, jobs: int) -> None:
        """Wait until jobs, their calls and their traces are in all stores."""
        stores = self._stores()
        until(lambda: len(stores.jobs()) >= jobs and stores.is_at_rest(), PATIENCE, what=f"{what}: jobs")
        for trace in stores.jobs().values():
            until(lambda trace=trace: stores.spans(trace), PATIENCE, what=f"{what}: trace {trace}")  # type: ignore[misc]
        until(lambda: self._agree(stores), PATIENCE, what=f"{what}: calls {stores.calls()}")
        assert not [name for name in stores.operations("screener") if "health" in name]
        print(f"✓ {what}")

    def _agree(self, stores: Stores) -> bool:
        known, counted = stores.calls()
        return stores.is_at_rest() and known == counted > 0

    def _stores(self) -> Stores:
        password = self.clone.secret("POSTGRES_PASSWORD")
        place = self.clone.url("postgres", 5432).removeprefix("http://")
        return Stores(
            database=f"postgresql://screener:{password}@{place}/screener",
            prometheus=self.clone.url("prometheus", 9090),
            jaeger=self.clone.url("jaeger", 16686),
        )

    def _grafana(self) -> grafana.Api:
        return grafana.Api(self.clone.url("grafana", 3000), self.clone.secret("GRAFANA_ADMIN_PASSWORD"))


def _timed(what: str, do: Callable[[], object]) -> int:
    began = time.monotonic()
    do()
    seconds = round(time.monotonic() - began)
    print(f"✓ {what}: {seconds} s", flush=True)
    return seconds


if __name__ == "__main__":
    sys.exit(main())
