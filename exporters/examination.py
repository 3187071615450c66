"""What the doctor asks the database: which revision it is at, and what time it is there."""

from __future__ import annotations

import time
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from telemetry._context import suppressed

from . import migrate
from .database import create_engine, transaction


@dataclass(frozen=True, slots=True)
class Examined:
    """What was found."""

    revision: str | None
    """None: it was never migrated."""
    head: str
    ahead: float | None
    """Seconds that its clock is ahead of this machine's; None where it has none of its own."""


def examine(database_url: str, seconds: float) -> Examined:
    """Ask the database, and give up when it cannot be reached within ``seconds``.

    Raises:
        ValueError: for a URL that cannot be used.
        exporters.migrate.MigrationError: when the database cannot be reached, or refuses.
        ImportError: when its driver is not installed.
    """
    engine = create_engine(database_url, lambda: seconds, for_reading=True)
    try:
        with suppressed():
            revision = migrate.current(engine)
            return Examined(revision, migrate.head(), _ahead(engine))
    except SQLAlchemyError as error:
        reason = str(getattr(error, "orig", None) or error).splitlines()[0]
        raise migrate.MigrationError(f"it cannot be read: {reason}") from None
    finally:
        engine.dispose()


def _ahead(engine: Engine) -> float | None:
    if engine.dialect.name != "postgresql":
        return None  # a file on this machine
    with transaction(engine) as connection:
        before = time.time()
        theirs = connection.execute(sa.text("SELECT extract(epoch FROM clock_timestamp())")).scalar_one()
        after = time.time()
    return float(theirs) - (before + after) / 2
