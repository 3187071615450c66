"""One line of the doctor's report, and what the lines are about."""

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
"""Of which calls outside any run are looked at."""
ANSWER_SECONDS: Final = 2.0
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

    load_app: Callable[[], Flask] | None = None
    """Loads the Flask application, if there is one."""
    with_run: bool = True
    """Whether a synthetic run may be made."""
    app: Flask | None = None
    settings: Settings | None = None
    """None: they cannot be used."""
    said: list[str] = field(default_factory=list)
    """What telemetry logged meanwhile."""
    is_database_ready: bool = False
    orphan_calls: int | None = None
    """Calls to OpenAI of the last days, where no run was begun; None: one was, or it is not known."""
    examined: Examined | None = None
    """What the database answered; None: nothing."""
    clocks: list[Clock] = field(default_factory=list)
    exports: Future[list[Export]] | None = None
    """What the Collector answers, under way; None: it cannot be asked."""
    series: Future[Series] | None = None
    """What Prometheus answers, under way; None: there is none to ask."""
    unsent: set[str] = field(default_factory=set)
    """Signals of OpenTelemetry that no Collector takes."""


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
