"""The SQL tables of this project, and what it knows of the host's.

Money is integer pico-dollars (`…_pico`), durations are integer microseconds (`…_us`), times are naive UTC,
JSON is text. References to host rows (`…_ref`) are soft: no foreign keys, so that telemetry can be written
before the host commits and never blocks or breaks what the host deletes.
"""

from __future__ import annotations

from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.functions import GenericFunction

from telemetry import conventions as c

from .columns import (
    BYTES,
    CHARACTERS,
    DOLLARS,
    MICROSECONDS,
    PICO_DOLLARS,
    SECONDS,
    SHARE,
    TOKENS,
    column,
    listed,
)
from .host import (
    ANALYSES_COLUMNS,
    CANDIDATE_FILES_COLUMNS,
    HOST_COLUMNS,
    HOST_INDEXES,
    STATUSES,
    USERS_COLUMNS,
    HostIndex,
    HostTables,
    host_tables,
)

__all__ = [
    "ANALYSES_COLUMNS",
    "CANDIDATE_FILES_COLUMNS",
    "HOST_COLUMNS",
    "HOST_INDEXES",
    "VIEWS",
    "NAMING_CONVENTION",
    "USERS_COLUMNS",
    "HostIndex",
    "HostTables",
    "added_objects",
    "archived_days",
    "archived_runs",
    "counters",
    "daily_tasks",
    "document_warnings",
    "documents",
    "found",
    "fragments",
    "host_tables",
    "metadata",
    "runs",
    "stage_usage",
    "system_health_log",
    "users",
    "utc_now",
    "warning_events",
]

NAMING_CONVENTION = {
    "ix": "ix_%(table_name)s_%(column_0_N_name)s",
    "uq": "uq_%(table_name)s_%(column_0_N_name)s",
    "ck": "ck_%(table_name)s_%(constraint_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s_%(referred_table_name)s",
    "pk": "pk_%(table_name)s",
}
"""How constraints and indexes are named where no name is given."""


class utc_now(GenericFunction[Any]):
    """The database's clock as naive UTC, whatever the time zone of server and session."""

    type = sa.DateTime()
    inherit_cache = True


@compiles(utc_now)
def _utc_now(element: utc_now, compiler: SQLCompiler, **_: Any) -> str:
    return "timezone('utc', now())" if compiler.dialect.name == "postgresql" else "CURRENT_TIMESTAMP"


def _key(name: str, length: int, meaning: str) -> sa.Column[Any]:
    """A part of a primary key, where '' stands for "none": NULL would let rows double."""
    return column(name, sa.String(length), meaning, primary_key=True, server_default=sa.text("''"))


def _id(name: str, meaning: str) -> sa.Column[Any]:
    """One of ours, as text."""
    return column(name, sa.String(32), meaning, primary_key=True)


def _reference(name: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.BigInteger(), meaning)


def _number(name: str, unit: str, meaning: str) -> sa.Column[Any]:
    """NULL: it is not known."""
    return column(name, sa.BigInteger(), meaning, unit)


def _sum(name: str, unit: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.BigInteger(), meaning, unit, nullable=False, server_default=sa.text("0"))


def _count(name: str, unit: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.Integer(), meaning, unit, nullable=False, server_default=sa.text("0"))


def _flag(name: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.Boolean(), meaning, nullable=False, server_default=sa.false())


def _moment(name: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.DateTime(), meaning)


def _score(name: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.Numeric(5, 4, asdecimal=False), meaning, SHARE)


def _used() -> list[sa.Column[Any]]:
    """What calls to OpenAI took and cost."""
    return [
        _sum("attempts", "attempts", "HTTP requests to OpenAI, retries included."),
        _sum("rate_limit_hits", "answers", "Answers 429 because requests came too fast."),
        _sum("rate_limit_retries", "attempts", "Attempts right after one that met a rate limit."),
        _sum("other_retries", "attempts", "Attempts after any other failure."),
        _sum("backoff_us", MICROSECONDS, "Time the client slept between attempts."),
        _sum("retry_after_us", MICROSECONDS, "Waits that OpenAI asked for; of each call, the longest."),
    ]


def _billed() -> list[sa.Column[Any]]:
    return [
        _sum("input_tokens", TOKENS, "Input, the cached ones included."),
        _sum("output_tokens", TOKENS, "Output, the reasoning ones included."),
        _sum("cached_tokens", TOKENS, "Of the input, read from the prompt cache."),
        _sum("cache_write_tokens", TOKENS, "Of the input, written to the prompt cache."),
        _sum("reasoning_tokens", TOKENS, "Of the output, spent on reasoning."),
        _sum("cost_pico", PICO_DOLLARS, "What it cost, at the prices of that time."),
        _number("repriced_pico", PICO_DOLLARS, "What it costs at the prices of the last `reprice --apply`."),
    ]


def _refused() -> list[sa.Column[Any]]:
    return [
        _sum("quota_hits", "answers", "Answers 429 because the quota or the credit was used up."),
        _sum("spend_limit_hits", "answers", "Answers 429 because a spend limit was reached."),
        _count(
            "unmodelled", "calls", "Of those unpriced, the ones that cost otherwise than their tokens say."
        ),
    ]


KINDS: Final = f"{listed(c.KINDS)} or one of `TELEMETRY_RUN_KINDS`"
"""What kinds of runs there are, as a part of a sentence."""

metadata = sa.MetaData(naming_convention=NAMING_CONVENTION)
"""The tables of this project, and only those."""

runs = sa.Table(
    "telemetry_runs",
    metadata,
    _id("run_id", "Id of the run: 32 hexadecimal digits."),
    column("kind", sa.String(20), f"What it is: {KINDS}.", nullable=False),
    column("source", sa.String(20), "Where it is known from: `spans`, or `import`.", nullable=False),
    column("synthetic", sa.Boolean(), "Whether the doctor made it up; views leave it out.", nullable=False),
    column("subject", sa.String(255), "What the host calls what it is about, such as `draft:12`."),
    _reference("user_ref", "`users.id`."),
    _reference("analysis_ref", "`analyses.id`."),
    _moment("analysis_created_at", "`analyses.created_at`: ids of deleted rows come back on SQLite."),
    _moment("analysis_seen_at", "When its analysis was first found in the host's table."),
    _flag("analysis_gone", "Whether the analysis was deleted, or was never the run's."),
    column("version", sa.BigInteger(), "Grows with each change of the run.", nullable=False),
    _sum("projected_version", "", "The version that the host's row shows."),
    _sum("user_version", "", "The version that the totals of its user hold."),
    _count("files_pending", "files", "Documents whose stored files do not show it yet."),
    column("status", sa.String(20), f"How it stands: {listed(STATUSES)}.", nullable=False),
    _moment("started_at", "When it began."),
    _moment("ended_at", "When it ended."),
    _moment("seen_at", "When the database last heard of it, by the database's clock."),
    _moment("enqueued_at", "When it was queued."),
    _number("duration_us", MICROSECONDS, "From its start to its end."),
    _number("queue_wait_us", MICROSECONDS, "From when it was queued to its start."),
    column("candidates", sa.Integer(), "Candidates submitted.", "candidates"),
    column("criteria", sa.Integer(), "Criteria they are judged by.", "criteria"),
    _number("jd_bytes", BYTES, "Size of the job description."),
    _number("jd_characters", CHARACTERS, "Length of the job description's text."),
    _count("n_documents", "documents", "Documents it saw, each once."),
    _count("n_scored", "documents", "Of these, scored; fallback scores not included."),
    _count("n_failed", "documents", "Of these, failed, or left with a fallback score."),
    _count("n_duplicates", "documents", "Of these, recognised as copies by the host."),
    _number("resume_bytes", BYTES, "Size of all résumés."),
    _number("resume_characters", CHARACTERS, "Length of their texts, added up."),
    _number("resume_characters_min", CHARACTERS, "Length of the shortest."),
    _number("resume_characters_max", CHARACTERS, "Length of the longest."),
    _score("score_avg", "Mean score of the candidates."),
    _score("score_median", "Their median score."),
    _score("score_min", "Their lowest score."),
    _score("score_max", "Their highest score."),
    _count("above_70", "candidates", "Scored 0.7 and more."),
    _count("from_50_to_70", "candidates", "Scored 0.5 and more, below 0.7."),
    _count("below_50", "candidates", "Scored below 0.5."),
    _sum("api_calls", "calls", "Calls to OpenAI, each with all its attempts."),
    *_used(),
    *_billed(),
    column(
        "cost_complete",
        sa.Boolean(),
        "Whether the run was closed, and every call ended, told its tokens and had a price; else the cost is"
        " a lower bound.",
        nullable=False,
    ),
    _count("unpriced", "calls", "Calls without a price."),
    _count("usage_missing", "calls", "Calls that did not tell their tokens."),
    _count(
        "unfinished",
        "calls",
        "Calls nobody saw the end of, or not yet; one more where an error of telemetry's may hide some.",
    ),
    _count("shed", "documents", "Documents of which nothing is known because the spool was full."),
    _count("error_count", "errors", "Errors in all stages."),
    column("error_types", sa.Text(), "JSON: how often which type in which stage."),
    column("trace_id", sa.String(32), "Trace of the run: 32 hexadecimal digits."),
    column("trace_sampled", sa.Boolean(), "Whether that trace was exported."),
    column("exceeded_resume_limit", sa.Boolean(), "The host's own column, if it has one."),
    column("user_chose_override", sa.Boolean(), "The host's own column, if it has one."),
    column("jd_type", sa.String(10), "Type of the job description's file, such as `pdf`."),
    column("status_reason", sa.String(128), "Why it is no success; see [status](status.md)."),
    _count("unclosed", "fragments", "Fragments whose end nobody saw: they are open, or their process died."),
    *_refused(),
)
"""One row a run: the sums of its fragments, and how far they have reached the host's row.

`exceeded_resume_limit` and `user_chose_override` are the host's, copied where it has them: no view may stand
on a table of the host's.
"""

sa.Index(None, runs.c.analysis_ref)
sa.Index(None, runs.c.started_at)
sa.Index(None, runs.c.subject)
sa.Index(
    None,
    runs.c.user_ref,
    # A user's totals are recomputed from the index alone.
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
    _id("run_id", "The run it is a part of."),
    _id("fragment_id", "Id of the part that one process saw."),
    column("seq", sa.BigInteger(), "Grows with each snapshot; the newest counts.", nullable=False),
    column("is_root", sa.Boolean(), "Whether its process began the run.", nullable=False),
    column("process_id", sa.String(32), "The process, as in the spool.", nullable=False),
    column("schema_v", sa.Integer(), "Version of the format of `state`.", nullable=False),
    _moment("opened_at", "When the process began with it."),
    _moment("closed_at", "When it was done with it."),
    _moment("seen_at", "When the database last heard of it, by the database's clock."),
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

stage_usage = sa.Table(
    "telemetry_stage_usage",
    metadata,
    _id("run_id", "The run."),
    _key("stage", 64, "Stage of the run, `unattributed` where nobody said."),
    _key("operation", 32, "As in `gen_ai.operation.name`; '' is the row of the stage's own time."),
    _key("model", 128, "Model that answered, else the one that was asked."),
    _key("service_tier", 32, "Tier that the service told."),
    _key("price_version", 64, "Version of the price list or file."),
    _sum("calls", "calls", "Calls to OpenAI, each with all its attempts."),
    *_used(),
    _sum("duration_us", MICROSECONDS, "Time of the calls added up; where `operation` is '', of the stage."),
    *_billed(),
    column(
        "price_source",
        sa.String(64),
        "Where the price is from: `prices-file`, `genai-prices`, or '' without one.",
        nullable=False,
        server_default=sa.text("''"),
    ),
    _count("errors", "calls", "Calls that failed."),
    _count("unpriced", "calls", "Calls without a price."),
    _count("usage_missing", "calls", "Calls that did not tell their tokens."),
    *_refused(),
)
"""OpenAI calls of a run by stage, operation, model, tier and price.

The row whose `operation` is '' is the stage's own time: its `duration_us` is how long the stage was open.
"""

counters = sa.Table(
    "telemetry_counters",
    metadata,
    _id("run_id", "The run."),
    column("name", sa.String(64), "One of TELEMETRY_COUNTERS, or `other`.", primary_key=True),
    column("value", sa.BigInteger(), "How often it was counted.", "times", nullable=False),
)
"""What the application counted itself (`telemetry.count`)."""

documents = sa.Table(
    "telemetry_documents",
    metadata,
    _id("run_id", "The run."),
    column("document_key", sa.String(64), "Keyed hash of its name within the run.", primary_key=True),
    column(
        "ordinal",
        sa.Integer(),
        "0, and counts on for namesakes that differ.",
        primary_key=True,
        autoincrement=False,
    ),
    _reference("row_ref", "`candidate_files.id`, if the host told it."),
    _number("size_bytes", BYTES, "Size of the file."),
    _number("characters", CHARACTERS, "Length of its text."),
    column("type", sa.String(10), "Type of the file, in lower case."),
    _number("extraction_us", MICROSECONDS, "Time it took to extract its text."),
    _number("analysis_us", MICROSECONDS, "Time it took to analyse it."),
    column("chunk_count", sa.Integer(), "Parts into which its text was cut.", "chunks"),
    _score("score", "Its score."),
    column("outcome", sa.String(20), f"What became of it: {listed(c.DOCUMENT_OUTCOMES)}.", nullable=False),
    column("error_type", sa.String(255), "Type of the error it failed with."),
    _flag("fallback", "Whether its score stands in for one that failed; such scores are not in the bands."),
)
"""One row a document of a run."""

users = sa.Table(
    "telemetry_users",
    metadata,
    column("user_ref", sa.BigInteger(), "`users.id`.", primary_key=True, autoincrement=False),
    _moment("created_at", "`users.created_at`."),
    _count("jobs", "jobs", "Analyses that ended, history included."),
    _sum("candidates", "candidates", "Candidates of these analyses."),
    _sum("cost_pico", PICO_DOLLARS, "What all runs of the user cost."),
    column("largest_batch", sa.Integer(), "Candidates of the largest analysis.", "candidates"),
    _moment("last_run_at", "When the user's latest run began."),
    column("archived_jobs", sa.Integer(), "Of these analyses, those in archives.", "jobs"),
    _number("archived_candidates", "candidates", "Of these candidates, those in archives."),
    _number("archived_cost_pico", PICO_DOLLARS, "Of this cost, what runs in archives cost."),
    column("archived_largest_batch", sa.Integer(), "Of the analyses in archives.", "candidates"),
    _moment("archived_last_run_at", "Of the runs in archives."),
)
"""One row a user who has runs: what the segments are told by. It goes when the user's row is gone.

The totals include what is archived, of which the last columns alone still know.
"""

archived_runs = sa.Table(
    "telemetry_archived_runs",
    metadata,
    _id("run_id", "The run."),
    column("kind", sa.String(20), f"What it was: {KINDS}.", nullable=False),
    _flag("synthetic", "Whether the doctor made it up."),
    _reference("user_ref", "`users.id`."),
    _reference("analysis_ref", "`analyses.id`."),
    _moment("analysis_created_at", "`analyses.created_at`."),
    _flag("analysis_gone", "Whether its analysis was deleted before."),
    column("started_at", sa.DateTime(), "When it began.", nullable=False),
    column("fragments", sa.Text(), "JSON: the newest `seq` that was delivered, by fragment.", nullable=False),
    column("archive", sa.String(64), "Name of the archive.", nullable=False),
)
"""One row a run that is in an archive, so that nothing takes it for a new one.

`fragments` is JSON: the newest `seq` that was delivered, by the id of the fragment.
"""

sa.Index(None, archived_runs.c.user_ref)
sa.Index(None, archived_runs.c.analysis_ref)
sa.Index(None, archived_runs.c.started_at)
sa.Index(None, archived_runs.c.archive)

archived_days = sa.Table(
    "telemetry_archived_days",
    metadata,
    column("log_date", sa.Date(), "The day.", primary_key=True),
    column("archive", sa.String(64), "Name of the archive.", nullable=False),
)
"""One row a day of `system_health_log` that is in an archive."""

VIEWS = (
    "telemetry_run_spend",
    "telemetry_spend",
    "telemetry_analysis_spend",
    "telemetry_user_segments",
    "telemetry_jobs",
    "telemetry_warnings",
    "telemetry_stages",
    "telemetry_health",
)
"""What dashboards, exports and reports read; a role for dashboards may read these and nothing else."""

added_objects = sa.Table(
    "telemetry_added_objects",
    metadata,
    column("table_name", sa.String(63), "The table.", primary_key=True),
    column("object_type", sa.String(10), "`column`, `index` or `table`.", primary_key=True),
    column("object_name", sa.String(63), "What was added to it.", primary_key=True),
    column("revision", sa.String(32), "The migration that added it.", nullable=False),
    column("added_at", sa.DateTime(), "When.", nullable=False, server_default=utc_now()),
)
"""What the migrations added: all that may be written and dropped."""

# Only for the foreign keys below: these tables are the host's.
_host = host_tables(sa.MetaData())


def _cascade(table: sa.Table) -> sa.ForeignKey:
    return sa.ForeignKey(table.c.id, ondelete="CASCADE")


document_warnings = sa.Table(
    "document_warnings",
    metadata,
    column("id", sa.Integer(), "Id of the warning.", primary_key=True),
    column("analysis_id", sa.BigInteger(), "The analysis, once there is one.", "", _cascade(_host.analyses)),
    column("user_id", sa.BigInteger(), "Who was warned.", "", _cascade(_host.users)),
    column("subject", sa.String(255), "What it was about before there was an analysis: `draft:12`."),
    column("warning_type", sa.String(50), "One of TELEMETRY_WARNING_TYPES.", nullable=False),
    column(
        "warning_shown_at",
        sa.DateTime(),
        "When it was shown.",
        nullable=False,
        server_default=utc_now(),
    ),
    column("user_action", sa.String(50), f"What the user did then: {listed(c.WARNING_ACTIONS)}."),
    column("document_count", sa.Integer(), "How many documents it was about.", "documents"),
    _number("document_size", BYTES, "Of all of them, or of the longest or shortest."),
    column("additional_data", sa.Text(), "JSON: what else the host told, such as the limit."),
)
"""Warnings shown to users about their documents, and what they did then."""

sa.Index("idx_warnings_analysis", document_warnings.c.analysis_id)
sa.Index("idx_warnings_user", document_warnings.c.user_id)
sa.Index("idx_warnings_subject", document_warnings.c.subject)
sa.Index("idx_warnings_type", document_warnings.c.warning_type)
sa.Index("idx_warnings_shown_at", document_warnings.c.warning_shown_at)

warning_events = sa.Table(
    "telemetry_warning_events",
    metadata,
    _id("event_id", "Id of the event, so that it counts once however often it arrives."),
    _reference("user_ref", "`users.id`."),
    column("subject", sa.String(255), "What it is about, as of a run."),
    column("warning_type", sa.String(50), "Of the warning; an answer may be to all."),
    column("user_action", sa.String(50), "What the user did; NULL: a warning was shown."),
    column("happened_at", sa.DateTime(), "When, as the application told.", nullable=False),
    column("arrived_at", sa.DateTime(), "When it arrived.", nullable=False, server_default=utc_now()),
)
"""What the application told about warnings, as often and in whatever order it arrives.

A warning that was shown has no ``user_action``; an answer has, and holds for what was shown before it.
"""

sa.Index(None, warning_events.c.subject)
sa.Index(None, warning_events.c.arrived_at)

found = sa.Table(
    "telemetry_found",
    metadata,
    column("name", sa.String(64), "What was looked for, such as `integrity`.", primary_key=True),
    _moment("asked_at", "When a process began to look."),
    column("figures", sa.Text(), "JSON: what it found."),
)
"""What one process found out for all, as JSON; ``asked_at`` is when it began to look."""

system_health_log = sa.Table(
    "system_health_log",
    metadata,
    column("id", sa.Integer(), "Id of the row.", primary_key=True),
    column("log_date", sa.Date(), "The day, of TELEMETRY_TIMEZONE.", nullable=False, unique=True),
    _count("jobs_completed", "jobs", "Analyses that began on the day and succeeded, at least in part."),
    _count("jobs_failed", "jobs", "Those that failed or were interrupted."),
    column("avg_processing_time", sa.Numeric(12, 3), "Mean duration of those that ended.", SECONDS),
    column(
        "total_api_spend",
        sa.Numeric(20, 12),
        "What all runs that began on the day cost; NULL: all are history, whose cost is unknown.",
        DOLLARS,
    ),
    _count("rate_limit_incidents", "runs", "Runs that met a rate limit."),
    column("error_types", sa.Text(), "JSON: how often each type."),
    column("peak_concurrent_jobs", sa.Integer(), "Analyses under way at once, at most.", "jobs"),
    _count("total_candidates_processed", "candidates", "Candidates of the analyses that ended."),
    _sum("total_api_calls", "calls", "Calls of all runs that began on the day."),
)
"""One row a day, written by the daily check."""

daily_tasks = sa.Table(
    "telemetry_daily_tasks",
    metadata,
    column("day", sa.Date(), "The day it is about.", primary_key=True),
    column(
        "task",
        sa.String(160),
        "The daily check, or a finding and a hash of whom it is told.",
        primary_key=True,
    ),
    column("claimed_at", sa.DateTime(), "When a process began with it.", nullable=False),
    _moment("done_at", "When it was done."),
)
"""What one process did, or is about to do, for a day, so that no other does it again."""
