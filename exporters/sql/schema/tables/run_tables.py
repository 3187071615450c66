"""The tables of runs, and of the fragments from which they are added up."""

from __future__ import annotations

import sqlalchemy as sa

from ..columns import BYTES, CHARACTERS, MICROSECONDS, PICO_DOLLARS, column, listed
from ..host import STATUSES
from .kinds import (
    RUN_KINDS,
    billed,
    count,
    flag,
    metadata,
    moment,
    number,
    own_id,
    reference,
    refused,
    score,
    sum_of,
    used,
)

runs = sa.Table(
    "telemetry_runs",
    metadata,
    own_id("run_id", "Id of the run: 32 hexadecimal digits."),
    column("kind", sa.String(20), f"What it is: {RUN_KINDS}.", nullable=False),
    column("source", sa.String(20), "Where it is known from: `spans`, or `import`.", nullable=False),
    column("synthetic", sa.Boolean(), "Whether the doctor made it up; views leave it out.", nullable=False),
    column("subject", sa.String(255), "What the host calls what it is about, such as `draft:12`."),
    reference("user_ref", "`users.id`."),
    reference("analysis_ref", "`analyses.id`."),
    moment("analysis_created_at", "`analyses.created_at`: ids of deleted rows come back on SQLite."),
    moment("analysis_seen_at", "When its analysis was first found in the host's table."),
    flag("analysis_gone", "Whether the analysis was deleted, or was never the run's."),
    column("version", sa.BigInteger(), "Grows with each change of the run.", nullable=False),
    sum_of("projected_version", "", "The version that the host's row shows."),
    sum_of("user_version", "", "The version that the totals of its user hold."),
    count("files_pending", "files", "Documents whose stored files do not show it yet."),
    column("status", sa.String(20), f"How it stands: {listed(STATUSES)}.", nullable=False),
    moment("started_at", "When it began."),
    moment("ended_at", "When it ended."),
    moment("seen_at", "When the database last heard of it, by the database's clock."),
    moment("enqueued_at", "When it was queued."),
    number("duration_us", MICROSECONDS, "From its start to its end."),
    number("queue_wait_us", MICROSECONDS, "From when it was queued to its start."),
    column("candidates", sa.Integer(), "Candidates submitted.", "candidates"),
    column("criteria", sa.Integer(), "Criteria they are judged by.", "criteria"),
    number("jd_bytes", BYTES, "Size of the job description."),
    number("jd_characters", CHARACTERS, "Length of the job description's text."),
    count("n_documents", "documents", "Documents it saw, each once."),
    count("n_scored", "documents", "Of these, scored; fallback scores not included."),
    count("n_failed", "documents", "Of these, failed, or left with a fallback score."),
    count("n_duplicates", "documents", "Of these, recognised as copies by the host."),
    number("resume_bytes", BYTES, "Size of all résumés."),
    number("resume_characters", CHARACTERS, "Length of their texts, added up."),
    number("resume_characters_min", CHARACTERS, "Length of the shortest."),
    number("resume_characters_max", CHARACTERS, "Length of the longest."),
    score("score_avg", "Mean score of the candidates."),
    score("score_median", "Their median score."),
    score("score_min", "Their lowest score."),
    score("score_max", "Their highest score."),
    count("above_70", "candidates", "Scored 0.7 and more."),
    count("from_50_to_70", "candidates", "Scored 0.5 and more, below 0.7."),
    count("below_50", "candidates", "Scored below 0.5."),
    sum_of("api_calls", "calls", "Calls to OpenAI, each with all its attempts."),
    *used(),
    *billed(),
    column(
        "cost_complete",
        sa.Boolean(),
        "Whether the run was closed, and every call ended, reported its tokens and had a price; else the cost"
        " is a lower bound.",
        nullable=False,
    ),
    count("unpriced", "calls", "Calls without a price."),
    count("usage_missing", "calls", "Calls that did not report their tokens."),
    count(
        "unfinished",
        "calls",
        "Calls nobody saw the end of, or not yet; one more where an error of telemetry's may hide some.",
    ),
    count("shed", "documents", "Documents of which nothing is known because the spool was full."),
    count("error_count", "errors", "Errors in all stages."),
    column("error_types", sa.Text(), "JSON: how often which type in which stage."),
    column("trace_id", sa.String(32), "Trace of the run: 32 hexadecimal digits."),
    column("trace_sampled", sa.Boolean(), "Whether that trace was exported."),
    column("exceeded_resume_limit", sa.Boolean(), "The host's own column, if it has one."),
    column("user_chose_override", sa.Boolean(), "The host's own column, if it has one."),
    column(
        "price_pico",
        sa.BigInteger(),
        "What a user pays for the analysis: the host's own column `cost_usd`, if it has one.",
        PICO_DOLLARS,
    ),
    column("jd_type", sa.String(10), "Type of the job description's file, such as `pdf`."),
    column("status_reason", sa.String(128), "Why it is no success; see [status](status.md)."),
    count("unclosed", "fragments", "Fragments whose end nobody saw: they are open, or their process died."),
    *refused(),
)
"""One row a run: the sums of its fragments, and how far they have reached the host's row.

`exceeded_resume_limit`, `user_chose_override` and `price_pico` are the host's, copied where it has them: no
view may stand on a table of the host.
"""

JOBS = ("analysis", "import")
"""Kinds of runs that are jobs."""

sa.Index(None, runs.c.analysis_ref)
sa.Index(None, runs.c.started_at)
sa.Index(None, runs.c.subject)
sa.Index(
    None,
    runs.c.user_ref,
    # The totals of a user are computed from the index alone.
    postgresql_include=["status", "started_at", "candidates", "cost_pico"],
)
sa.Index(
    "ix_telemetry_runs_unprojected",
    runs.c.run_id,
    postgresql_where=runs.c.projected_version < runs.c.version,
    sqlite_where=runs.c.projected_version < runs.c.version,
)
sa.Index(
    "ix_telemetry_runs_unsummed",
    runs.c.user_ref,
    postgresql_where=runs.c.user_version < runs.c.version,
    sqlite_where=runs.c.user_version < runs.c.version,
)
sa.Index(
    "ix_telemetry_runs_without_files",
    runs.c.ended_at,
    postgresql_where=runs.c.files_pending > 0,
    sqlite_where=runs.c.files_pending > 0,
)
sa.Index(
    "ix_telemetry_runs_running",
    runs.c.seen_at,
    postgresql_where=runs.c.status == "running",
    sqlite_where=runs.c.status == "running",
)

fragments = sa.Table(
    "telemetry_fragments",
    metadata,
    own_id("run_id", "The run it is a part of."),
    own_id("fragment_id", "Id of the part that one process saw."),
    column("seq", sa.BigInteger(), "Grows with each snapshot; the newest counts.", nullable=False),
    column("is_root", sa.Boolean(), "Whether its process began the run.", nullable=False),
    column("process_id", sa.String(32), "The process, as in the spool.", nullable=False),
    column("schema_v", sa.Integer(), "Version of the format of `state`.", nullable=False),
    moment("opened_at", "When the process began with it."),
    moment("closed_at", "When it was done with it."),
    moment("seen_at", "When the database last heard of it, by the database's clock."),
    column("interrupted_seq", sa.BigInteger(), "The `seq` at which its process was found dead."),
    column("state", sa.Text(), "JSON: the newest snapshot, from which the run is added up."),
)
"""One row a fragment: the newest snapshot of what one process saw of a run. `state` is NULL once emptied."""

sa.Index(
    "ix_telemetry_fragments_open",
    fragments.c.process_id,
    postgresql_where=fragments.c.closed_at.is_(None),
    sqlite_where=fragments.c.closed_at.is_(None),
)
