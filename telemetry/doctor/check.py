"""A line of the doctor's report, and the state that checks share."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Literal

from telemetry.settings import Settings

if TYPE_CHECKING:
    from flask import Flask

    from .probes.collector import Export
    from .probes.database import Examined
    from .probes.prometheus import Series

ORPHAN_DAYS: Final = 30
"""How many days of calls outside any run to look at."""
TIMEOUT_SECONDS: Final = 2.0
"""After this time, a server that does not answer counts as down."""


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the doctor's report."""

    result: Literal["good", "bad", "note"]
    subject: str
    text: str
    remedy: str = ""
    """What to do; each bad result has one."""


Answer = Iterator[Check]


@dataclass(frozen=True, slots=True)
class Clock:
    """The difference to another clock."""

    name: str
    ahead: float
    """Seconds by which it is ahead of the clock of this machine."""
    precision: float
    """Error of that, in seconds."""


@dataclass(slots=True)
class Patient:
    """The process that is examined, and what earlier checks found."""

    load_app: Callable[[], Flask] | None = None
    """Returns the Flask application, if there is one."""
    with_run: bool = True
    """Whether a synthetic run may be made."""
    app: Flask | None = None
    settings: Settings | None = None
    """None if they are invalid."""
    messages: list[str] = field(default_factory=list)
    """What telemetry logged so far."""
    is_database_ready: bool = False
    orphan_calls: int | None = None
    """Calls to OpenAI in the last days, if there was no run; None if there was, or it is not known."""
    examined: Examined | None = None
    """What was read from the database; None if it could not be read."""
    clocks: list[Clock] = field(default_factory=list)
    exports: Future[list[Export]] | None = None
    """The pending answers of the Collector; None if it cannot be queried."""
    series: Future[Series] | None = None
    """The pending answer of Prometheus; None if none is configured."""
    unsent: set[str] = field(default_factory=set)
    """Signals that no Collector accepts."""


@contextmanager
def listening(messages: list[str], *names: str) -> Iterator[None]:
    """Collect log messages of level WARNING and above, so that they do not mix with the report.

    Args:
        messages: list to add the messages to.
        names: of the loggers; default: telemetry's own.
    """

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            messages.append(record.getMessage())

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
