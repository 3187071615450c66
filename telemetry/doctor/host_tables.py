"""Check the tables of the application: their columns, and whether their rows show their runs."""

from __future__ import annotations

from .check import Answer, Check, Patient

PAGE = "docs/reference/host-tables.md says what is needed, and what is missing without it"


def check_host_tables(patient: Patient) -> Answer:
    """Check that they have what telemetry needs, and what it added."""
    database = patient.examined
    if database is None or database.revision is None:
        return
    for problem in (*database.problems, *database.lost):
        yield Check("bad", "host tables", f"{problem.place} {problem.text}", problem.remedy)
    if database.left_out:
        yield Check("note", "host tables", f"telemetry does without {'; '.join(database.left_out)}", PAGE)
    elif not database.problems and not database.lost:
        yield Check("good", "host tables", "have all that telemetry needs")


def check_projection(patient: Patient) -> Answer:
    """Check that their rows show their runs."""
    database = patient.examined
    if database is None or not patient.is_database_ready:
        return
    for lag in database.lags:
        yield Check("bad" if lag.is_wrong else "note", "projection", str(lag), lag.remedy)
    if not database.lags:
        yield Check("good", "projection", "every row shows its runs")
