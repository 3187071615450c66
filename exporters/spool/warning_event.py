"""A warning that was shown, or an answer to some, as it travels through the spool to SQL.

It may arrive twice, late and in any order: ``event_id`` tells whether it is known, ``happened_at`` which
answer belongs to which warning.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from exporters.rollup.snapshot import SCHEMA_VERSION
from telemetry._internal.context import Warned
from telemetry._internal.values import whole

MARK = "warning_event"
"""Key of the JSON object by which it is told from a snapshot."""


@dataclass(frozen=True, slots=True)
class WarningEvent:
    """What happened, and when."""

    event_id: str
    """32 hexadecimal digits."""
    happened_at: int
    """Epoch nanoseconds."""
    warned: Warned

    @property
    def fragment_id(self) -> str:
        """Its name in the spool."""
        return self.event_id

    @property
    def seq(self) -> int:
        """It never changes."""
        return 1

    @property
    def is_closed(self) -> bool:
        """It never changes."""
        return True

    def to_json(self) -> str:
        """Return it as one JSON object, which a version that knows no such events takes for a newer one's."""
        event = {"event_id": self.event_id, "happened_at": self.happened_at, **asdict(self.warned)}
        return json.dumps({"schema": SCHEMA_VERSION, MARK: event}, separators=(",", ":"), default=whole)

    @classmethod
    def from_state(cls, event: Any) -> Self:
        """Read what :meth:`to_json` wrote below :data:`MARK`.

        Raises:
            ValueError: when it is something else.
        """
        try:
            facts = dict(event)
            return cls(facts.pop("event_id"), facts.pop("happened_at"), Warned(**facts))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a warning: {error}") from None


def subject_of(run_id: str) -> str:
    """Return the subject of warnings about the documents of a run that has none of its own."""
    return f"run/{run_id}"
