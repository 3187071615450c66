"""A short soak test; the long one is `make soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.__main__ import HOST_WAIT_MS
from tests.soak.fire import Fire
from tests.soak.system import System
from tests.soak.verdict import judge

ANALYSES = 240


@pytest.mark.whole_matrix("each disturbance by itself has tests of its own")
@pytest.mark.timeout(900)
def test_every_run_counts_once_under_disturbances(tmp_path: Path) -> None:
    """Each run is exact or marked as incomplete, in its own database, and the host does not wait."""
    with System(tmp_path, ANALYSES) as system:
        damage = Fire(system, seed=7, report=lambda _: None).burn()
        verdict = judge(system, damage)
        log = (tmp_path / "workers.log").read_text()[-4000:]

        assert (verdict.lost, verdict.doubled) == ([], []), log
        assert (verdict.false_complete, verdict.foreign) == ([], [])
        assert verdict.ended + verdict.cut_short == ANALYSES
        assert min(damage.killed, damage.stopped, damage.intruded, damage.outages + damage.cut) > 0
        assert damage.host_wait_ms_max - damage.control_wait_ms_max <= HOST_WAIT_MS
