"""Check what rollups need: the database, and the spool."""

from __future__ import annotations

import tempfile
from typing import TYPE_CHECKING, Final

from telemetry.settings import Settings
from telemetry.setup import process as setup

from .check import ORPHAN_DAYS, TIMEOUT_SECONDS, Answer, Check, Clock, Patient, listening

if TYPE_CHECKING:
    from exporters.process.spool_keeper import ProcessDirectory


def check_database(patient: Patient) -> Answer:
    """Check that the database is reachable, and has the newest tables."""
    settings = patient.settings
    if settings is None:
        return
    if not settings.database_url:
        yield Check("note", "database", "none: rollups are not stored in SQL (TELEMETRY_DATABASE_URL)")
        return
    try:
        from .probes.database import examine

        examined = examine(settings.database_url, TIMEOUT_SECONDS, ORPHAN_DAYS, settings.hmac_key)
    except ImportError as error:
        remedy = "pip install 'analysis-telemetry[sql]'"
        yield Check("bad", "database", f"cannot be looked at: {error}", remedy)
        return
    except Exception as error:  # anything that the driver raises
        yield Check("bad", "database", str(error), "start it, or correct TELEMETRY_DATABASE_URL")
        return
    patient.examined = examined
    if examined.ahead is not None:
        patient.clocks.append(Clock("the database", examined.ahead, 0.1))
    patient.is_database_ready = examined.revision == examined.head
    patient.orphan_calls = examined.orphan_calls
    if patient.is_database_ready:
        yield Check("good", "database", f"reachable, at revision {examined.revision}, the newest")
    else:
        text = f"reachable, at revision {examined.revision or 'none'}; the newest is {examined.head}"
        yield Check("bad", "database", text, "flask telemetry db upgrade")


def check_runs(patient: Patient) -> Answer:
    """Check that OpenAI is not only called outside any run."""
    if calls := patient.orphan_calls:
        made = "1 call" if calls == 1 else f"{calls:,} calls"
        text = f"none was begun in {ORPHAN_DAYS} days, and {made} to OpenAI made outside any"
        remedy = 'put the work into one: with telemetry.run("analysis", user_id=…) as run: …'
        yield Check("note", "runs", text, remedy)


ENOUGH_BYTES: Final = 1_000_000
"""Space that is needed on the disk: more than a run with hundreds of documents takes in the spool."""


def check_spool(patient: Patient) -> Answer:
    """Check that the spool can be written, and what waits there."""
    if patient.settings is None:
        return
    wanted = patient.settings.spool_dir.absolute()
    place = next(folder for folder in (wanted, *wanted.parents) if folder.exists())
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(bytes(ENOUGH_BYTES))
    except OSError as error:
        remedy = "give this user a local directory in TELEMETRY_SPOOL_DIR"
        yield Check("bad", "spool", f"{wanted} cannot be written: {error.strerror or error}", remedy)
        return
    yield Check("good", "spool", f"{wanted} can be written")
    if patient.settings.database_url:
        yield from _contents(patient.settings, patient)


def _contents(settings: Settings, patient: Patient) -> Answer:
    try:
        from exporters.process.spool_keeper import SpoolKeeper

        with listening(patient.messages):
            keeper = SpoolKeeper(settings, setup.pipeline())
    except (ImportError, ValueError):  # reported with the database
        return
    try:
        there = keeper.processes()
    except OSError as error:
        yield Check("bad", "spool", str(error), "give this user a directory in TELEMETRY_SPOOL_DIR")
        return
    if foreign := [process.process_id for process in there if process.is_foreign]:
        text = f"{', '.join(foreign)} in {keeper.root} cannot be read"
        yield Check("note", "spool", text, "run all processes as the same user, or chown the directory")
    processes = [process for process in there if process.snapshots]
    yield from _waiting([process for process in processes if process.is_alive], patient)
    left = sum(process.snapshots for process in processes if not process.is_alive)
    if left:
        text = f"{left} snapshots of dead processes wait for their successors"
        yield Check("note", "spool", text, "flask telemetry spool recover")
    if parked := keeper.quarantined():
        reasons = ", ".join(sorted({process.reason or "unknown" for process in parked}))
        text = f"{len(parked)} snapshots are in quarantine, as the database refused them ({reasons})"
        yield Check("bad", "spool", text, "flask telemetry spool list, then retry or drop them")
    if unreadable := keeper.unreadable():
        text = f"{len(unreadable)} files are damaged, or not of telemetry: {unreadable[0].parent}"
        yield Check("bad", "spool", text, "see the log for what is wrong with each, then remove them")


def _waiting(living: list[ProcessDirectory], patient: Patient) -> Answer:
    """Report what living processes have not delivered; open runs have snapshots, too, which are recent."""
    if not living or patient.settings is None:
        return
    count = sum(process.snapshots for process in living)
    age = max((process.age for process in living if process.age is not None), default=0.0)
    text = f"{count} snapshots of {len(living)} living processes, the oldest {age:.0f} s old"
    if age > patient.settings.stale_seconds:
        yield Check("bad", "spool", text, "see the log of these processes for why they cannot deliver")
    else:
        yield Check("good", "spool", text)
