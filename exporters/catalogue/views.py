"""Descriptions of the views, for the catalogue. Their SQL is in the migrations, their names in the schema."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from exporters.sql.schema import migrate
from exporters.sql.schema import tables as schema
from exporters.sql.schema.columns import DOLLARS, PICO_DOLLARS, SECONDS, column, listed
from telemetry.conventions import BATCH_SIZES


@dataclass(frozen=True, slots=True)
class View:
    """The description of a view."""

    meaning: str
    """What a row stands for."""
    tables: tuple[sa.Table, ...]
    """A column has the description of the column of the same name in the first of these that has one."""
    columns: tuple[sa.Column[Any], ...]
    """Columns that only the view has, or that differ; with the types of PostgreSQL."""

    def column(self, name: str) -> sa.Column[Any]:
        """Return a column of the view.

        Raises:
            LookupError: if it has no description; the message names where to add one.
        """
        for own in self.columns:
            if own.name == name:
                return own
        for table in self.tables:
            if name in table.columns:
                return table.columns[name]
        raise LookupError(f"{name} has no meaning: add it to DESCRIBED in exporters.catalogue.views")


@dataclass(frozen=True, slots=True)
class Definition:
    """A view in a migrated database."""

    columns: tuple[str, ...]
    query: str


@cache
def definitions() -> Mapping[str, Definition]:
    """Return the views by name, as a newly migrated SQLite database has them."""
    with tempfile.TemporaryDirectory() as directory:
        engine = sa.create_engine(f"sqlite:///{Path(directory, 'empty.sqlite')}", poolclass=sa.NullPool)
        migrate.upgrade(engine, with_base_tables=True)
        inspector = sa.inspect(engine)
        return {
            name: Definition(
                tuple(details["name"] for details in inspector.get_columns(name)),
                (inspector.get_view_definition(name) or "").partition(" AS ")[2],
            )
            for name in inspector.get_view_names()
        }


def described(name: str) -> View:
    """Return the description of the view ``name``.

    Raises:
        LookupError: if it has none.
    """
    try:
        return DESCRIBED[name]
    except KeyError:
        raise LookupError(f"the view {name} has no entry in DESCRIBED in exporters.catalogue.views") from None


def _day(meaning: str) -> sa.Column[Any]:
    return column("day", sa.Date(), meaning)


def _pico(
    name: str = "cost_pico",
    meaning: str = "The cost, at new prices if repriced; NULL for imported runs: it is unknown.",
) -> Any:
    return column(name, sa.BigInteger(), meaning, PICO_DOLLARS)


def _pico_sum(name: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.Numeric(), meaning, PICO_DOLLARS)


def _dollars(name: str = "cost_dollars", meaning: str = "The same.") -> sa.Column[Any]:
    return column(name, sa.Numeric(), meaning, DOLLARS)


def _seconds(name: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.Double(), meaning, SECONDS)


def _count(name: str, unit: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.BigInteger(), meaning, unit)


def _flag(name: str, meaning: str) -> sa.Column[Any]:
    return column(name, sa.Boolean(), meaning)


_BATCH_SIZE: Final = column(
    "batch_size", sa.Text(), f"By number: {listed(BATCH_SIZES)} (1–50, 51–150, 151+)."
)
_SPEND_CLASS: Final = column(
    "spend_class", sa.String(), "What became of the money: see [waste](../explanation/waste.md)."
)
_SEGMENTS: Final = (
    _flag("is_new_user", "Whether the user was created in the last 30 days."),
    _flag("is_active_user", "Whether a run of the user's began in the last 30 days."),
    _flag("is_power_user", "Whether the user has 10 jobs or more."),
)
_INCOMPLETE: Final = _count("incomplete_runs", "runs", "Of these, whose cost is a lower bound.")

DESCRIBED: Final[Mapping[str, View]] = {
    "telemetry_run_spend": View(
        "A run, and what its money was spent on.", (schema.runs,), (_SPEND_CLASS, _pico(), _BATCH_SIZE)
    ),
    "telemetry_spend": View(
        "A day (UTC) and a class of spend.",
        (),
        (
            _day("When the runs began."),
            _SPEND_CLASS,
            _count("runs", "runs", "How many there are."),
            _INCOMPLETE,
            _pico_sum("cost_pico", "What they cost; NULL if all are imported, as their cost is unknown."),
            _count("candidates", "candidates", "Of analyses."),
            _count("criteria", "criteria", "Of analyses."),
            _count("above_70", "candidates", "Of analyses, scored 0.7 and more."),
            _count(
                "failed_documents", "documents", "That failed, as far as known; NULL if nothing is known."
            ),
            _count("duplicate_documents", "documents", "Recognised as copies, as far as known."),
        ),
    ),
    "telemetry_analysis_spend": View(
        "An analysis that is not deleted; its numbers are those of the run that was delivered last.",
        (schema.runs,),
        (
            _count("runs", "runs", "All its runs."),
            _INCOMPLETE,
            _pico_sum("cost_pico", "What they cost; NULL if all are imported, as their cost is unknown."),
            _pico_sum("wasted_pico", "What was spent on runs without a useful result."),
            _dollars("cost_per_candidate", "All its cost for each candidate."),
            _dollars("cost_per_criterion", "All its cost for each criterion."),
            _dollars("cost_per_candidate_above_70", "All its cost for each candidate scored 0.7 and more."),
        ),
    ),
    "telemetry_user_segments": View(
        "A user who has runs.",
        (schema.users,),
        (
            _pico(meaning="What all runs of the user cost; NULL if all are imported."),
            _dollars(),
            *_SEGMENTS,
        ),
    ),
    "telemetry_jobs": View(
        "An analysis, also an imported one, of which unknown values are NULL. Documents and scores are NULL "
        "as long as a fragment has not reported its own: it is open, or its process died.",
        (schema.runs,),
        (
            _day("When it began (UTC)."),
            _seconds("duration_seconds", "From its start to its end."),
            _seconds("queue_wait_seconds", "From when it was queued to its start."),
            _BATCH_SIZE,
            _seconds("backoff_seconds", "Time the client slept between attempts."),
            _pico(),
            _dollars(),
            _flag(
                "exceeded_resume_limit",
                "The column of the host, otherwise whether the warning `batch_too_large` was shown.",
            ),
            _flag(
                "user_chose_override", "The column of the host, otherwise whether a warning was overridden."
            ),
            *_SEGMENTS,
        ),
    ),
    "telemetry_warnings": View(
        "A warning that was shown.",
        (schema.document_warnings,),
        (
            column("warning_id", sa.Integer(), "Id of the warning."),
            column("analysis_ref", sa.BigInteger(), "`analyses.id`, once there is one."),
            column("user_ref", sa.BigInteger(), "`users.id`."),
            column("shown_at", sa.DateTime(), "When it was shown."),
            _day("When it was shown (UTC)."),
            _BATCH_SIZE,
        ),
    ),
    "telemetry_stages": View(
        "Stage, operation, model, tier and price of a run.",
        (schema.stage_usage, schema.runs),
        (
            _day("When the run began (UTC)."),
            _seconds("backoff_seconds", "Time the client slept between attempts."),
            _seconds(
                "duration_seconds", "Sum over the calls; where `operation` is '', the time of the stage."
            ),
            _pico(
                "saved_pico",
                "What the cached tokens would have cost more as other input; NULL if it was repriced.",
            ),
            _pico("output_pico", "How much of the cost is for output; NULL if it was repriced."),
            _seconds("opened_seconds", "From the start of the run to when the stage first opened."),
            _seconds("closed_seconds", "From the start of the run to when the stage last closed."),
            _pico(),
            _dollars(),
        ),
    ),
    "telemetry_health": View(
        "A day of the log.",
        (schema.system_health_log,),
        (
            _day("The day, of TELEMETRY_TIMEZONE."),
            column("mean_duration_seconds", sa.Numeric(12, 3), "Of the analyses that ended.", SECONDS),
            column("cost_dollars", sa.Numeric(20, 12), "What all runs that began on the day cost.", DOLLARS),
            column("candidates", sa.Integer(), "Of the analyses that ended.", "candidates"),
            column("api_calls", sa.BigInteger(), "Calls of all runs that began on the day.", "calls"),
        ),
    ),
    "telemetry_run_documents": View(
        "A document of a run, without its name and its key.",
        (schema.documents, schema.runs),
        (
            _BATCH_SIZE,
            _seconds("extraction_seconds", "Time to extract its text."),
            _seconds("analysis_seconds", "Time to analyse it."),
            _seconds("processing_seconds", "Both together, as far as known."),
        ),
    ),
    "telemetry_errors": View(
        "A type of error in a stage of a run.",
        (schema.runs,),
        (
            column("stage", sa.Text(), "Where it happened."),
            column("error_type", sa.Text(), "Class of the exception, or the service's name of the error."),
            _count("errors", "errors", "How many there were."),
        ),
    ),
    "telemetry_job_issues": View(
        "An analysis that has ended, and what was wrong with it: the health score is the share of the last "
        "jobs without an issue.",
        (schema.runs,),
        (
            _flag("has_failed", "Whether it or a part of it failed, or it was interrupted."),
            _count("app_retries", "retries", "Retries of the application itself."),
            _count("fallbacks", "fallbacks", "Substitutes for answers that failed."),
            _seconds("response_seconds", "Mean duration of its OpenAI calls."),
            _seconds("seconds_per_candidate", "Its duration for each candidate."),
            _flag("has_slow_answers", "Whether a call took more than 5 s on average."),
            _flag("is_slow", "Whether it took more than 5 s for each candidate."),
            _flag("has_many_retries", "Whether the application retried more than 5 times."),
            _flag("has_many_fallbacks", "Whether there were more than 3 fallbacks."),
            _flag("has_issue", "Whether any of these is true."),
        ),
    ),
}
"""Descriptions of all views by name."""
