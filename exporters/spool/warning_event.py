"""A warning that was shown, or a user's answer to warnings, on its way through the spool to the database.

It may arrive twice, late and in any order: ``event_id`` shows whether it is stored already, ``happened_at``
which answer belongs to which warning.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Self

from exporters.rollup.snapshot import SCHEMA_VERSION
from telemetry._internal.run import Warned
from telemetry._internal.values import whole

MARK = "warning_event"
"""Key that distinguishes the JSON object from that of a snapshot."""


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
        """Its name in the spool, as of a fragment."""
        return self.event_id

    @property
    def seq(self) -> int:
        """Always 1: an event does not change."""
        return 1

    @property
    def is_closed(self) -> bool:
        """Always true: an event does not change."""
        return True

    def to_json(self) -> str:
        """Return the event as one JSON object, which versions without events take for a newer snapshot."""
        event = {"event_id": self.event_id, "happened_at": self.happened_at, **asdict(self.warned)}
        return json.dumps({"schema": SCHEMA_VERSION, MARK: event}, separators=(",", ":"), default=whole)

    @classmethod
    def from_state(cls, event: Any) -> Self:
        """Return the event that :meth:`to_json` wrote below :data:`MARK`.

        Raises:
            ValueError: if it is no event.
        """
        try:
            facts = dict(event)
            return cls(facts.pop("event_id"), facts.pop("happened_at"), Warned(**facts))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"not a warning: {error}") from None


def subject_of(run_id: str) -> str:
    """Return the subject of warnings about the documents of a run without a subject."""
    return f"run/{run_id}"
