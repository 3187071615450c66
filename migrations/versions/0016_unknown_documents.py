"""The documents of a run that is not wholly known are NULL in the views, and not 0.

Documents travel in the last snapshot of a fragment: of a fragment that is open, whose process died, or whose
documents found no room in the spool, nobody knows how many were scored.
"""

from __future__ import annotations

from alembic import context, op

revision = "0016"
down_revision = "0015"

KNOWN = "run.unclosed = 0 AND run.shed = 0 AND run.status <> 'running'"
COUNTED = ("n_scored", "n_failed", "n_duplicates", "above_70", "from_50_to_70", "below_50")
"""Columns of telemetry_jobs that are NULL of history already."""
DESCRIBED = (
    *("n_documents", "resume_bytes", "resume_characters", "resume_characters_min", "resume_characters_max"),
    *("score_avg", "score_median", "score_min", "score_max"),
)
SPENT = ("above_70", "n_failed", "n_duplicates")
"""Columns of telemetry_run_spend."""
OF_SPEND = ("telemetry_run_spend", "telemetry_spend", "telemetry_analysis_spend")
"""In the order in which they depend on each other."""


def known(name: str) -> str:
    value = f"CASE WHEN {KNOWN} THEN run.{name} END"
    # PostgreSQL forgets how many digits a column has that goes through a CASE.
    return f"CAST({value} AS NUMERIC(5,4)) AS {name}" if name.startswith("score_") else f"{value} AS {name}"


def jobs_before() -> str:
    """Return the query of telemetry_jobs as it was."""
    query: str = context.script.get_revision("0015").module.views()["telemetry_jobs"]
    return query


def jobs() -> str:
    query = jobs_before()
    for name in COUNTED:
        was = f"CASE WHEN run.kind <> 'import' THEN run.{name} END AS {name}"
        now = f"CASE WHEN run.kind <> 'import' AND {KNOWN} THEN run.{name} END AS {name}"
        query = query.replace(was, now)
    for name in DESCRIBED:
        query = query.replace(f"run.{name},", f"{known(name)},")
    return query


def spend_before() -> dict[str, str]:
    views: dict[str, str] = context.script.get_revision("0008").module.VIEWS
    return {name: views[name] for name in OF_SPEND}


def spend() -> dict[str, str]:
    views = spend_before()
    were = ", ".join(f"run.{name}" for name in SPENT)
    views["telemetry_run_spend"] = views["telemetry_run_spend"].replace(were, ", ".join(map(known, SPENT)))
    return views


def show(jobs_query: str, spend_queries: dict[str, str]) -> None:
    for name in ("telemetry_jobs", *reversed(OF_SPEND)):
        op.execute(f"DROP VIEW {name}")
    for name, query in {"telemetry_jobs": jobs_query, **spend_queries}.items():
        op.execute(f"CREATE VIEW {name} AS {query}")


def upgrade() -> None:
    show(jobs(), spend())


def downgrade() -> None:
    show(jobs_before(), spend_before())
