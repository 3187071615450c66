"""The demo with a service of one's own instead of the stand-in it brings."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.screener.standin.client import StandIn
from tests.demo.runs import run_demo


@pytest.mark.timeout(900)
def test_a_configured_service_is_called(tmp_path: Path) -> None:
    """With OPENAI_API_KEY set its service gets all calls, a smaller set, and there is no ledger."""
    with StandIn() as service:
        url = service.url
        done = run_demo(tmp_path, OPENAI_API_KEY="key", OPENAI_BASE_URL=url)
        attempts = service.ledger()["attempts"]
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{url} is called" in done.stdout
    totals = done.stdout.split("Totals")[1].split("How to go on")[0]
    assert f"HTTP attempts {len(attempts)} {len(attempts)} ✓" in " ".join(totals.split())
    assert "ledger" not in totals
    assert not (tmp_path / "ledger.json").exists()
