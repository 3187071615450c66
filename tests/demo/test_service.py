"""The demo with a configured service instead of its stand-in."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.screener.standin.client import StandIn
from tests.demo.runs import processes_of, run_demo


@pytest.mark.timeout(900)
@pytest.mark.whole_matrix("it is the demo once more, and only its address differs")
def test_configured_service_gets_all_calls(tmp_path: Path) -> None:
    """With OPENAI_API_KEY set, the demo makes fewer calls, all to that service, and has no ledger."""
    with StandIn() as service:
        url = service.url
        done = run_demo(tmp_path, OPENAI_API_KEY="key", OPENAI_BASE_URL=url)
        attempts = service.ledger()["attempts"]
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    assert processes_of(tmp_path) == {}
    assert f"{url} is called" in done.stdout
    totals = done.stdout.split("Totals")[1].split("How to go on")[0]
    assert f"HTTP attempts {len(attempts)} {len(attempts)} ✓" in " ".join(totals.split())
    assert "ledger" not in totals
    assert not (tmp_path / "ledger.json").exists()
