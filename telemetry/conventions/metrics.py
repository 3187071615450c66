"""Metrics with their units and labels, and the values of the labels."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from .gauges import DAYS, GAUGES, TODAY
from .metric import Label, Metric
from .vocabulary import (
    ATTEMPT_STATUSES,
    BATCH_SIZES,
    DOCUMENT_OUTCOMES,
    DOCUMENT_TYPES,
    MEASURED_KINDS,
    OTHER,
    REFUSED,
    SHOWN,
    STAGES,
    TERMINAL_STATUSES,
    UNACCOUNTED_REASONS,
    WARNING_ACTIONS,
    WARNING_TYPES,
)

_SECONDS: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600, 1200)
_BYTES: Final = (
    1_000,
    10_000,
    50_000,
    100_000,
    250_000,
    500_000,
    1_000_000,
    2_500_000,
    5_000_000,
    10_000_000,
)
_CHARACTERS: Final = (250, 500, 1_000, 2_000, 4_000, 6_000, 8_000, 12_000, 16_000, 24_000, 50_000)
_SCORES: Final = (0.1, 0.2, 0.3, 0.4, 0.4999, 0.6, 0.6999, 0.8, 0.9, 1)

RUNS: Final = Metric(
    "analysis.runs", "counter", "{run}", "Runs that ended.", ("kind", "status", "batch_size")
)
WARNINGS: Final = Metric(
    "analysis.warnings",
    "counter",
    "{warning}",
    "Warnings by action: `shown`, what users did next, or `refused` if a user had too many.",
    ("type", "action"),
)
RUNS_ACTIVE: Final = Metric("analysis.runs.active", "gauge", "{run}", "Runs open in this process.", ("kind",))
RUN_DURATION: Final = Metric(
    "analysis.run.duration",
    "histogram",
    "s",
    "Time from a run's start to its end.",
    ("kind", "status"),
    _SECONDS,
)
QUEUE_WAIT: Final = Metric(
    "analysis.run.queue_wait",
    "histogram",
    "s",
    "Time from when a run was queued to its start.",
    ("kind",),
    (*_SECONDS, 3600),
)
STAGE_DURATION: Final = Metric(
    "analysis.stage.duration", "histogram", "s", "Time from a stage's start to its end.", ("stage",), _SECONDS
)
DOCUMENTS: Final = Metric(
    "analysis.documents", "counter", "{document}", "Documents of ended runs.", ("type", "outcome")
)
DOCUMENT_SIZE: Final = Metric(
    "analysis.document.size", "histogram", "By", "Size of the documents of ended runs.", ("type",), _BYTES
)
DOCUMENT_CHARACTERS: Final = Metric(
    "analysis.document.characters",
    "histogram",
    "{character}",
    "Extracted text of the documents of ended runs.",
    ("type",),
    _CHARACTERS,
)
CANDIDATE_SCORE: Final = Metric(
    "analysis.candidate.score", "histogram", "1", "Scores of candidates, 0 to 1.", (), _SCORES
)
OPENAI_OPERATIONS: Final = Metric(
    "analysis.openai.operations",
    "counter",
    "{operation}",
    "Logical OpenAI calls that ended.",
    ("stage", "operation", "model", "outcome"),
)
OPENAI_ATTEMPTS: Final = Metric(
    "analysis.openai.attempts",
    "counter",
    "{attempt}",
    "HTTP requests to OpenAI, retries included.",
    ("stage", "status"),
)
OPENAI_BACKOFF: Final = Metric(
    "analysis.openai.backoff", "counter", "s", "Time the OpenAI client slept between attempts.", ("stage",)
)
OPENAI_RETRIES: Final = Metric(
    "analysis.openai.retries",
    "counter",
    "{attempt}",
    "Attempts of the OpenAI client after one that failed, by whether a rate limit was the reason.",
    ("stage", "reason"),
)
OPENAI_RETRY_AFTER: Final = Metric(
    "analysis.openai.retry_after",
    "counter",
    "s",
    "Waits that OpenAI requested by Retry-After; of each call, the longest.",
    ("stage",),
)
OPENAI_HEADROOM: Final = Metric(
    "analysis.openai.headroom.ratio",
    "gauge",
    "1",
    "Share of the rate limit that was left at the last answer, 0 to 1.",
    ("model", "limit"),
)
OPENAI_TOKENS: Final = Metric(
    "analysis.openai.tokens",
    "counter",
    "{token}",
    "Tokens billed; input includes cached and cache_write, output includes reasoning.",
    ("stage", "model", "kind"),
)
OPENAI_COST: Final = Metric(
    "analysis.openai.cost.usd", "counter", "{USD}", "API cost in US dollars.", ("stage", "model")
)
OPENAI_UNACCOUNTED: Final = Metric(
    "analysis.openai.unaccounted",
    "counter",
    "{call}",
    "Calls whose cost is unknown or belongs to no run; `unclosed`: fragments that dead processes left.",
    ("reason",),
)
ERRORS: Final = Metric("analysis.errors", "counter", "{error}", "Errors recorded in runs.", ("stage", "type"))
EVENTS: Final = Metric("analysis.events", "counter", "{event}", "Counters that the host declared.", ("name",))

SYNTHETIC_RUNS: Final = Metric(
    "telemetry.synthetic.runs",
    "counter",
    "{run}",
    "Synthetic runs of the doctor that ended; no other metric counts them or their calls.",
)
SPOOL_PENDING: Final = Metric(
    "telemetry.spool.pending", "gauge", "{snapshot}", "Snapshots of this process waiting for the database."
)
SPOOL_OLDEST: Final = Metric(
    "telemetry.spool.oldest_age", "gauge", "s", "Age of the oldest snapshot waiting for the database."
)
SPOOL_SHED: Final = Metric(
    "telemetry.spool.shed",
    "counter",
    "{snapshot}",
    "Snapshots or document lists shed at the spool's cap.",
    ("what",),
)
SPOOL_DEAD: Final = Metric(
    "telemetry.spool.dead", "gauge", "{snapshot}", "Snapshots in quarantine, which the database refuses."
)
SPOOL_UNREADABLE: Final = Metric(
    "telemetry.spool.unreadable",
    "gauge",
    "{file}",
    "Files set aside in the spool: damaged, of another user or for another database.",
)
WRITER_DURATION: Final = Metric(
    "telemetry.writer.duration",
    "histogram",
    "s",
    "Duration of the writer's transactions.",
    ("transaction",),
    (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 5),
)
WRITER_FAILURES: Final = Metric(
    "telemetry.writer.failures", "counter", "{failure}", "Writer transactions that failed.", ("transaction",)
)
INTEGRITY_VIOLATIONS: Final = Metric(
    "telemetry.integrity.violations",
    "gauge",
    "{row}",
    "Inconsistent rows at the last check by one of the processes.",
    ("check",),
)
VALUES_COERCED: Final = Metric(
    "telemetry.values.coerced",
    "counter",
    "{value}",
    "Values cut or dropped to fit their column.",
    ("column",),
)
INTERNAL_ERRORS: Final = Metric(
    "telemetry.internal_errors",
    "counter",
    "{error}",
    "Internal errors of telemetry, none of which reached the application.",
    ("component",),
)

METRICS: Final = (*(value for value in list(globals().values()) if isinstance(value, Metric)), *GAUGES)
"""All metrics, in the order of their declaration."""

TRANSACTIONS: Final = ("rollup", "projection", "user", "warning")
COMPONENTS: Final = (
    "api",
    "processor",
    "recorder",
    "openai",
    "pricing",
    "spool",
    "writer",
    "metrics",
    "setup",
)
RETRY_REASONS: Final = ("rate_limit", "other")
RATE_LIMITS: Final = ("requests", "tokens")
OK: Final = "ok"
ERROR: Final = "error"
SHED_PARTS: Final = ("checkpoint", "documents")
TOKEN_KINDS: Final = ("input", "output", "cached", "cache_write", "reasoning")

DEFAULT_COUNTERS: Final = ("app_retries", "fallbacks")
"""Counters of ``telemetry.count`` unless TELEMETRY_COUNTERS declares others."""

LABELS: Final[Mapping[str, Label]] = {
    "action": Label(
        "Whether the warning was shown or refused, or what the user did next.",
        (SHOWN, *WARNING_ACTIONS, REFUSED),
    ),
    "batch_size": Label("Candidates: small 1 to 50, medium 51 to 150, large 151 and more.", BATCH_SIZES),
    "check": Label("Rule of `flask telemetry validate`.", is_open=True),
    "column": Label("Table and column.", is_open=True),
    "component": Label("Part of telemetry.", COMPONENTS),
    "kind": Label("Kind of the run.", MEASURED_KINDS, added_by="TELEMETRY_RUN_KINDS"),
    "limit": Label("Which of the two rate limits.", RATE_LIMITS),
    "model": Label("Model that answered, else the one that was asked.", is_open=True),
    "name": Label(
        "Counter that the host declared.", (*DEFAULT_COUNTERS, OTHER), setting="TELEMETRY_COUNTERS"
    ),
    "operation": Label("As in `gen_ai.operation.name`: chat, embeddings …", is_open=True),
    "outcome": Label("Whether the call was answered.", (OK, ERROR)),
    "query": Label("Which of the two queries.", (TODAY, DAYS)),
    "reason": Label("Why the cost is unknown, or belongs to no run.", UNACCOUNTED_REASONS),
    "stage": Label("Stage of the run.", STAGES, setting="TELEMETRY_STAGES", is_open=True),
    "status": Label("How the run ended.", TERMINAL_STATUSES),
    "transaction": Label("Which of the writer's transactions.", TRANSACTIONS),
    "type": Label("Type of the file.", (*DOCUMENT_TYPES, OTHER)),
    "what": Label("What was shed.", SHED_PARTS),
    f"{DOCUMENTS.name} outcome": Label("Outcome of the document.", DOCUMENT_OUTCOMES),
    f"{ERRORS.name} type": Label(
        "Class of the exception, or the service's own name of the error.", is_open=True
    ),
    f"{OPENAI_ATTEMPTS.name} status": Label(
        "HTTP status, or why there is none; a 429 by its meaning.", (*ATTEMPT_STATUSES, OTHER)
    ),
    f"{OPENAI_RETRIES.name} reason": Label("Why the previous attempt failed.", RETRY_REASONS),
    f"{OPENAI_TOKENS.name} kind": Label("Kind of the tokens.", TOKEN_KINDS),
    f"{WARNINGS.name} type": Label("Type of the warning.", WARNING_TYPES, setting="TELEMETRY_WARNING_TYPES"),
}
"""Labels by name, or by metric and name if the label has another meaning on that metric."""
