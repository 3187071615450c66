"""What rollups need: prices, the database, and a place to wait for it."""

from __future__ import annotations

import tempfile
from importlib.metadata import entry_points
from typing import Final

from ..compatibility import installed
from ..settings import SettingsError
from .check import Answer, Check, Patient

MIGRATE_GROUP: Final = "analysis_telemetry_migrate"


def check_prices(patient: Patient) -> Answer:
    """Which prices are used."""
    if found := installed("genai-prices"):
        yield Check("good", "prices", f"list of genai-prices {found}")
    else:
        remedy = "pip install 'analysis-telemetry[openai]'"
        yield Check("bad", "prices", "there is no price list: calls are unpriced", remedy)
    path = patient.settings.prices_file if patient.settings else None
    if path is None:
        return
    from ..pricing import read_price_file

    try:
        file = read_price_file(path)
    except SettingsError as error:
        yield Check("bad", "prices", f"{error}: calls are unpriced", "correct TELEMETRY_PRICES_FILE")
    else:
        yield Check("good", "prices", f"{path}, version {file.version}, goes before the list")


def check_database(patient: Patient) -> Answer:
    """Is the database there, and does it have our tables."""
    settings = patient.settings
    if settings is None:
        return
    if not settings.database_url:
        yield Check("note", "database", "none: rollups are not kept in SQL (TELEMETRY_DATABASE_URL)")
        return
    try:
        (entry,) = entry_points(group=MIGRATE_GROUP)
        migrate = entry.load()
    except (ImportError, ValueError) as error:
        remedy = "pip install 'analysis-telemetry[sql]'"
        yield Check("bad", "database", f"cannot be looked at: {error}", remedy)
        return
    try:
        found, newest = migrate.current(settings.database_url), migrate.head()
    except migrate.MigrationError as error:
        yield Check("bad", "database", str(error), "start it, or correct TELEMETRY_DATABASE_URL")
        return
    if found == newest:
        yield Check("good", "database", f"reachable, at revision {found}, the newest")
    else:
        text = f"reachable, at revision {found or 'none'}; the newest is {newest}"
        yield Check("bad", "database", text, "flask telemetry db upgrade")


def check_spool(patient: Patient) -> Answer:
    """Can rollups wait on disk."""
    if patient.settings is None:
        return
    wanted = patient.settings.spool_dir.absolute()
    place = next(folder for folder in (wanted, *wanted.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=place):
            pass
    except OSError as error:
        remedy = "give this user a local directory in TELEMETRY_SPOOL_DIR"
        yield Check("bad", "spool", f"{wanted} cannot be written: {error.strerror or error}", remedy)
    else:
        yield Check("good", "spool", f"{wanted} can be written")
