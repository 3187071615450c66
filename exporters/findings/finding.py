"""One thing that stands out in the figures."""

from __future__ import annotations

import datetime as dt
import json
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that stands out."""

    name: str
    severity: Literal["alert", "warning"]
    title: str
    message: str
    figures: dict[str, float]
    action: str
    day: dt.date
    """What it is about; of a longer period the last."""

    @property
    def is_severe(self) -> bool:
        """Whether somebody should be told."""
        return self.severity == "alert"

    def to_json(self) -> str:
        """Return it as one line."""
        return json.dumps(asdict(self), ensure_ascii=False, default=str)
