"""One line of the doctor's report, and what the lines are about."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any, Final, Literal

from telemetry.settings import Settings

COMMANDS_GROUP: Final = "analysis_telemetry_commands"
ORPHAN_DAYS: Final = 30
"""Of which calls outside any run are looked at."""
PATIENCE: Final = 2.0
"""Seconds after which something that does not answer is taken for down."""


@dataclass(frozen=True, slots=True)
class Check:
    """One line of the doctor's report."""

    result: Literal["good", "bad", "note"]
    subject: str
    text: str
    remedy: str = ""
    """What to do; every bad one has it."""


Answer = Iterator[Check]


@dataclass(frozen=True, slots=True)
class Clock:
    """What another clock says."""

    name: str
    ahead: float
    """Seconds that it is ahead of this machine's."""
    precision: float
    """Seconds by which that may be wrong."""


@dataclass(slots=True)
class Patient:
    """The process that is examined, and what became known of it so far."""

    load_app: Callable[[], Any] | None = None
    """Loads the Flask application, if there is one."""
    with_run: bool = True
    """Whether a synthetic run may be made."""
    app: Any = None
    settings: Settings | None = None
    """None: they cannot be used."""
    said: list[str] = field(default_factory=list)
    """What telemetry logged meanwhile."""
    is_database_ready: bool = False
    orphan_calls: int | None = None
    """Calls to OpenAI of the last days, where no run was begun; None: one was, or it is not known."""
    examined: Any = None
    """What the database answered; None: nothing."""
    clocks: list[Clock] = field(default_factory=list)
    asked: dict[str, Future[Any]] = field(default_factory=dict)
    """Answers from afar that are under way, by who was asked."""
    unsent: set[str] = field(default_factory=set)
    """Signals of OpenTelemetry that no Collector takes."""


def load(name: str) -> Any:
    """Return a part of ours that needs more than the application has to have.

    Raises:
        ImportError: when that is not installed.
        LookupError: when the distribution is not.
    """
    for entry in entry_points(group=COMMANDS_GROUP, name=name):
        return entry.load()
    raise LookupError("analysis-telemetry is not installed here")


@contextmanager
def listening(said: list[str], *names: str) -> Iterator[None]:
    """Collect what is logged from warnings on, instead of letting it come between the lines.

    Args:
        said: where it is collected.
        names: of the loggers; default: telemetry's own.
    """

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            said.append(record.getMessage())

    listener, loggers = (
        Listener(logging.WARNING),
        [logging.getLogger(name) for name in names or ("telemetry",)],
    )
    for logger in loggers:
        logger.addHandler(listener)
    try:
        yield
    finally:
        for logger in loggers:
            logger.removeHandler(listener)
