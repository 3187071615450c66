"""The result of the live proof, as docs/reference/alerts.md shows it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Final

from tests.live.compressed import FACTOR
from tests.live.proof import Outcome

FILE: Final = Path(__file__).parents[2] / "docs" / "live-proof.json"


def write(outcomes: list[Outcome], not_provoked: dict[str, str]) -> None:
    """Write the result for the page."""
    provoked = {
        one.alert: {
            "how": one.how,
            "cure": one.cure,
            "fired_after": round(one.fired_after),
            "resolved_after": round(one.resolved_after),
        }
        for one in sorted(outcomes, key=lambda one: one.alert)
    }
    result = {"factor": FACTOR, "provoked": provoked, "not_provoked": not_provoked}
    FILE.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
