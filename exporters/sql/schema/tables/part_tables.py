"""The tables of the parts of a run, and of the totals of users."""

from __future__ import annotations

import sqlalchemy as sa

from telemetry import conventions as c

from ..columns import BYTES, CHARACTERS, MICROSECONDS, PICO_DOLLARS, column, listed
from .kinds import (
    billed,
    count,
    flag,
    key,
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

stage_usage = sa.Table(
    "telemetry_stage_usage",
    metadata,
    own_id("run_id", "The run."),
    key("stage", 64, "Stage of the run, `unattributed` where nobody said."),
    key("operation", 32, "As in `gen_ai.operation.name`; '' is the row of the stage's own time."),
    key("model", 128, "Model that answered, else the one that was asked."),
    key("service_tier", 32, "Tier that the service reported."),
    key("price_version", 64, "Version of the price list or file."),
    sum_of("calls", "calls", "Calls to OpenAI, each with all its attempts."),
    *used(),
    sum_of("duration_us", MICROSECONDS, "Time of the calls added up; where `operation` is '', of the stage."),
    *billed(),
    column(
        "price_source",
        sa.String(64),
        "Where the price is from: `prices-file`, `genai-prices`, or '' without one.",
        nullable=False,
        server_default=sa.text("''"),
    ),
    count("errors", "calls", "Calls that failed."),
    count("unpriced", "calls", "Calls without a price."),
    count("usage_missing", "calls", "Calls that did not report their tokens."),
    *refused(),
    sum_of(
        "saved_pico",
        PICO_DOLLARS,
        "What the cached tokens would have cost more as other input, at the prices of that time.",
    ),
    sum_of("output_pico", PICO_DOLLARS, "How much of `cost_pico` is for output."),
    number("opened_us", MICROSECONDS, "From the start of the run to when the stage first opened."),
    number("closed_us", MICROSECONDS, "From the start of the run to when the stage last closed."),
)
"""OpenAI calls of a run by stage, operation, model, tier and price.

The row whose `operation` is '' is the stage's own time: its `duration_us` is how long the stage was open.
"""

counters = sa.Table(
    "telemetry_counters",
    metadata,
    own_id("run_id", "The run."),
    column("name", sa.String(64), "One of TELEMETRY_COUNTERS, or `other`.", primary_key=True),
    column("value", sa.BigInteger(), "How often it was counted.", "times", nullable=False),
)
"""What the application counted itself (`telemetry.count`)."""

documents = sa.Table(
    "telemetry_documents",
    metadata,
    own_id("run_id", "The run."),
    column("document_key", sa.String(64), "Keyed hash of its name within the run.", primary_key=True),
    column(
        "ordinal",
        sa.Integer(),
        "0, and counts on for namesakes that differ.",
        primary_key=True,
        autoincrement=False,
    ),
    reference("row_ref", "`candidate_files.id`, if the host gave it."),
    number("size_bytes", BYTES, "Size of the file."),
    number("characters", CHARACTERS, "Length of its text."),
    column("type", sa.String(10), "Type of the file, in lower case."),
    number("extraction_us", MICROSECONDS, "Time it took to extract its text."),
    number("analysis_us", MICROSECONDS, "Time it took to analyse it."),
    column("chunk_count", sa.Integer(), "Parts into which its text was cut.", "chunks"),
    score("score", "Its score."),
    column("outcome", sa.String(20), f"What became of it: {listed(c.DOCUMENT_OUTCOMES)}.", nullable=False),
    column("error_type", sa.String(255), "Type of the error it failed with."),
    flag("fallback", "Whether its score stands in for one that failed; such scores are not in the bands."),
)
"""One row a document of a run."""

users = sa.Table(
    "telemetry_users",
    metadata,
    column("user_ref", sa.BigInteger(), "`users.id`.", primary_key=True, autoincrement=False),
    moment("created_at", "`users.created_at`."),
    count("jobs", "jobs", "Analyses that ended, history included."),
    sum_of("candidates", "candidates", "Candidates of these analyses."),
    sum_of("cost_pico", PICO_DOLLARS, "What all runs of the user cost."),
    column("largest_batch", sa.Integer(), "Candidates of the largest analysis.", "candidates"),
    moment("last_run_at", "When the user's latest run began."),
    column("archived_jobs", sa.Integer(), "Of these analyses, those in archives.", "jobs"),
    number("archived_candidates", "candidates", "Of these candidates, those in archives."),
    number("archived_cost_pico", PICO_DOLLARS, "Of this cost, what runs in archives cost."),
    column("archived_largest_batch", sa.Integer(), "Of the analyses in archives.", "candidates"),
    moment("archived_last_run_at", "Of the runs in archives."),
)
"""One row a user who has runs: what the segments are made from. It goes when the user's row is gone.

The totals include what is archived, of which the last columns alone still know.
"""
