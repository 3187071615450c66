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
    """The day that it is about, or the last one of a longer period."""

    @property
    def is_severe(self) -> bool:
        """Whether it should be sent to somebody."""
        return self.severity == "alert"

    def to_json(self) -> str:
        """Return it as a JSON object in one line."""
        return json.dumps(asdict(self), ensure_ascii=False, default=str)
