"""Incidents of telemetry on its way into SQL, and of the figures that come from there."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg

from tests.live.incident import incident
from tests.live.system import System

SLOW = (
    "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS"
    " $$ BEGIN PERFORM pg_sleep(1.5); RETURN NEW; END $$",
    "CREATE TRIGGER slow BEFORE INSERT OR UPDATE ON telemetry_runs FOR EACH ROW"
    " WHEN (NEW.candidates >= 100) EXECUTE FUNCTION slow()",
)
SMALL = "20000"
"""Bytes of a spool that is soon full."""
WITHOUT_DATABASE = (
    "AnalysisWriterFailing",
    "AnalysisGaugesMissing",
    "AnalysisSpoolOld",
    "AnalysisSpoolBacklog",
)


@incident(
    "AnalysisSpoolOld",
    "AnalysisSpoolBacklog",
    "AnalysisSpoolFull",
    how="a trigger makes each write of a large job take 1.5 seconds, and scripts do some, one with a spool of"
    f" {SMALL} bytes",
    cure="it is dropped",
)
def database_slow(system: System) -> Iterator[None]:
    with system.script() as script, system.script(TELEMETRY_SPOOL_MAX_BYTES=SMALL) as small:
        system.history.execute(*SLOW)
        script.do("jobs 30 100")
        small.do("begin 400")
        small.do("end")
        yield
        system.history.execute("DROP TRIGGER slow ON telemetry_runs", "DROP FUNCTION slow")


@incident(
    "AnalysisWriterFailing",
    also=("AnalysisSpoolOld", "AnalysisSpoolBacklog"),
    how="a session holds a lock on a table of telemetry's, while a script does jobs",
    cure="the session ends",
)
def table_locked(system: System) -> Iterator[None]:
    with system.script() as script, psycopg.connect(system.libpq_url) as session:
        session.execute("LOCK TABLE telemetry_runs IN EXCLUSIVE MODE")
        script.do("jobs 5")
        yield
        session.rollback()


@incident(
    "AnalysisSpoolQuarantine",
    how="a constraint, which is not ours, refuses a job",
    cure="it is dropped, and `flask telemetry spool retry` is run",
)
def refused_for_good(system: System) -> Iterator[None]:
    system.history.execute(
        "ALTER TABLE telemetry_runs ADD CONSTRAINT not_so_many CHECK (candidates <> 77) NOT VALID"
    )
    with system.script() as script:
        script.do("jobs 1 77")
        yield
        system.history.execute("ALTER TABLE telemetry_runs DROP CONSTRAINT not_so_many")
        system.flask("telemetry", "spool", "retry")


@incident(
    "AnalysisGaugesMissing",
    how="a view of telemetry's is renamed",
    cure="it gets its name again",
)
def view_gone(system: System) -> Iterator[None]:
    system.history.execute("ALTER VIEW telemetry_jobs RENAME TO telemetry_jobs_elsewhere")
    yield
    system.history.execute("ALTER VIEW telemetry_jobs_elsewhere RENAME TO telemetry_jobs")


@incident(
    "PostgresDown",
    also=WITHOUT_DATABASE,
    how="PostgreSQL is stopped",
    cure="it is started, and so is the worker, which ended",
)
def database_down(system: System) -> Iterator[None]:
    system.postgres.stop()
    yield
    system.postgres.start()
    if not system.app.processes["worker"].is_running:
        system.app.worker()
