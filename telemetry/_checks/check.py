"""One line of the doctor's report, and what the lines are about."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from ..settings import Settings


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's report."""

    result: Literal["good", "bad", "note"]
    subject: str
    text: str
    remedy: str = ""
    """What to do; every bad one has it."""


Answer = Iterator[Check]


@dataclass(slots=True)
class Patient:
    """The process that is examined, and what became known of it so far."""

    load_app: Callable[[], Any] | None = None
    """Loads the Flask application, if there is one."""
    app: Any = None
    settings: Settings | None = None
    """None: they cannot be used."""
    said: list[str] = field(default_factory=list)
    """What telemetry logged while it was set up."""
