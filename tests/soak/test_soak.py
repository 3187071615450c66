"""A short fire; the long one is `make soak`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.soak.fire import work_under_fire
from tests.soak.system import System
from tests.soak.verdict import judge

ANALYSES = 150


@pytest.mark.timeout(300)
def test_nothing_is_lost_and_nothing_is_doubled(tmp_path: Path) -> None:
    """Whatever is killed, stopped, cut off or delivered twice, each run counts once and to the last token."""
    with System(tmp_path, ANALYSES) as system:
        damage = work_under_fire(system, seed=7, report=lambda _: None)
        verdict = judge(system)

        assert (verdict.lost, verdict.doubled) == ([], []), (tmp_path / "workers.log").read_text()[-4000:]
        assert verdict.ended + verdict.cut_short == ANALYSES
        assert damage.killed + damage.outages + damage.cut > 0
