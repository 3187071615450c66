"""The demo, run from its start to its report."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.demo.conftest import Finished

pytestmark = pytest.mark.timeout(900)


def test_demo_succeeds_and_leaves_no_process(finished: Finished) -> None:
    """Ctrl-C ends it with exit status 0, and nothing is on standard error."""
    assert finished.done.returncode == 0, finished.done.stdout + finished.done.stderr
    assert finished.done.stderr == ""
    assert finished.left == {}


def test_serve_goes_on_until_ctrl_c(finished: Finished) -> None:
    """After the report the screener and its metrics answer at the printed addresses."""
    assert "csrf-token" in finished.pages["screener"]
    assert "analysis_openai_cost_usd_total" in finished.pages["metrics"]
    assert re.search("user@example.com.*password", finished.done.stdout)


def test_piped_output_is_plain_text(finished: Finished) -> None:
    """It has no colours, no cursor movements and no line of more than 100 columns."""
    assert "\x1b" not in finished.done.stdout
    assert "\r" not in finished.done.stdout
    assert max(map(len, finished.done.stdout.splitlines())) <= 100


def test_all_totals_agree(finished: Finished) -> None:
    """The report shows the three sources side by side, each line with a ✓."""
    totals = finished.done.stdout.split("Totals")[1].split("How to go on")[0]
    assert "SQL" in totals and "metrics" in totals and "ledger" in totals
    assert totals.count("✓") == 8
    assert "✗" not in totals


def test_report_names_the_problems(finished: Finished) -> None:
    """The demo has a corrupt file, a duplicate, retries and a fallback, and reports them."""
    problems = finished.done.stdout.split("Problems met")[1].split("Totals")[0]
    for expected in ("ravi-menon.pdf", "amara-okafor.pdf", "retried by the client", "replaced by a default"):
        assert expected in problems


def test_one_analysis_runs_in_the_request_and_one_in_the_worker(finished: Finished) -> None:
    """The large one waits in the queue; both are complete except for the corrupt file."""
    query = "SELECT state, owner FROM jobs ORDER BY id"
    jobs = finished.database.execute(query).fetchall()
    assert [state for state, _ in jobs] == ["completed", "completed"]
    assert len({owner for _, owner in jobs}) == 2
    assert finished.row("SELECT COUNT(DISTINCT status), MIN(status) FROM analyses") == (1, "partial_failure")
    assert finished.row("SELECT MAX(queue_wait_us) > 0 FROM telemetry_runs WHERE candidates > 20") == (1,)


def test_readme_shows_the_totals_of_the_demo(finished: Finished) -> None:
    """The result in the README, from which its picture is drawn, is what the demo prints."""
    readme = (Path(__file__).parents[2] / "README.md").read_text()
    shown = readme.split("\nTotals\n")[1].split("```")[0]
    printed = finished.done.stdout.split("Totals ")[1].split("How to go on")[0]

    assert figures(shown) == figures(printed)


def figures(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines() if "✓" in line]
