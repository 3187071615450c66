"""Each analysis is accounted exactly, however gunicorn serves the requests."""

from __future__ import annotations

from pathlib import Path

import pytest

from examples.screener.standin.client import StandIn
from tests.end_to_end.conftest import NewDatabase
from tests.end_to_end.documents import resume
from tests.end_to_end.ledger import truth
from tests.end_to_end.stack import Stack
from tests.end_to_end.submission import draft

SUMS = ("attempts", "rate_limit_hits", "input_tokens", "output_tokens", "cached_tokens", "cost_pico")
ANALYSES = 3


@pytest.mark.parametrize("preload", [False, True], ids=["", "preload"])
@pytest.mark.parametrize(
    "options",
    [("--worker-class", "gthread", "--threads", "4"), ("--max-requests", "5")],
    ids=["threads", "recycled workers"],
)
def test_every_analysis_is_accounted(
    new_database: NewDatabase, standin: StandIn, tmp_path: Path, options: tuple[str, ...], preload: bool
) -> None:
    """With threads and with recycled workers, forked before or after the app is loaded."""
    standin.faults([{"status": 429, "rate": 0.2, "retry_after_ms": 5}])
    with Stack(tmp_path, new_database("postgresql"), standin) as stack:
        web = stack.web(*options, preload=preload)
        client = stack.client()
        for number in range(1, ANALYSES + 1):
            client.start(draft(client, [resume(number).file, resume(number + 1).file]))
        stack.settle()
        runs, expected = stack.sql.runs(), truth(standin.ledger()["attempts"])

        assert {name: sum(run[name] for run in runs) for name in SUMS} == {
            name: getattr(expected, name) for name in SUMS
        }
        assert expected.rate_limit_hits > 0
        analyses = [run for run in runs if run["kind"] == "analysis"]
        assert [run["status"] for run in analyses] == ["completed"] * ANALYSES
        processes = {
            row["process_id"] for row in stack.sql.rows("SELECT process_id FROM telemetry_fragments")
        }
        assert len(processes) > 1 or "--max-requests" not in options
        assert web.is_running
