"""Every name this project puts on a span, a metric or a row, declared once.

Nothing here imports the SDK: instrumented code may use these constants where no SDK is installed. Names
follow the OpenTelemetry semantic conventions where those have one (``gen_ai.*``, ``error.type``); our own
live under ``analysis.`` (what the host does) and ``telemetry.`` (how we are doing ourselves).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

SCOPE: Final = "analysis.telemetry"
"""Instrumentation scope of the spans and metrics of the API."""
OPENAI_SCOPE: Final = "analysis.telemetry.openai"
"""Scope of the spans we open for OpenAI calls that nobody else covers (``client.post``)."""
GENAI_SCOPE: Final = "opentelemetry.instrumentation.genai.openai"
"""Scope of the official OpenAI instrumentation.

Only this one and ours are counted, so tools installed beside us cannot double a token.
"""
COUNTED_SCOPES: Final = frozenset({GENAI_SCOPE, OPENAI_SCOPE})


class Attribute:
    """Span attributes. Ours first, then those of the OpenTelemetry conventions that we read or complete."""

    RUN_ID: Final = "analysis.run.id"
    """Id of the run a root span stands for: 32 hexadecimal digits."""
    RUN_KIND: Final = "analysis.run.kind"
    """One of :data:`KINDS`."""
    RUN_SYNTHETIC: Final = "analysis.run.synthetic"
    """True on the root span of a run that only tries telemetry out; absent from all others."""
    RUN_STATUS: Final = "analysis.run.status"
    """What the host said of the run; the row may know better once all documents are counted."""
    STAGE: Final = "analysis.stage"
    """Stage a span belongs to. A plain span that carries it joins the open run."""
    DOCUMENT_SIZE: Final = "analysis.document.size"
    """Size of the document in bytes."""
    DOCUMENT_CHARACTERS: Final = "analysis.document.characters"
    """Characters of extracted text."""
    DOCUMENT_TYPE: Final = "analysis.document.type"
    """Lower-case file type, such as ``pdf``."""
    DOCUMENT_OUTCOME: Final = "analysis.document.outcome"
    """One of :data:`DOCUMENT_OUTCOMES`."""

    ATTEMPTS: Final = "analysis.openai.attempts"
    """HTTP requests one logical call took, the first included."""
    ATTEMPT_STATUSES: Final = "analysis.openai.attempt_statuses"
    """Status of each attempt in order: one of :data:`ATTEMPT_STATUSES`, or another HTTP code as text."""
    RATE_LIMIT_HITS: Final = "analysis.openai.rate_limit_hits"
    """Responses with status 429 because of the rate. Like the three that follow, left out when it is 0."""
    RATE_LIMIT_RETRIES: Final = "analysis.openai.rate_limit_retries"
    """Attempts whose immediately preceding attempt met a rate limit."""
    OTHER_RETRIES: Final = "analysis.openai.other_retries"
    """Attempts after any other failure."""
    BACKOFF: Final = "analysis.openai.backoff"
    """Seconds the client slept between attempts."""
    RETRY_AFTER: Final = "analysis.openai.retry_after"
    """Longest wait the service asked for, in seconds."""
    REMAINING_REQUESTS: Final = "analysis.openai.ratelimit.remaining_requests"
    """Share of the request limit that was left, 0 to 1, from the last answer's headers."""
    REMAINING_TOKENS: Final = "analysis.openai.ratelimit.remaining_tokens"
    """Share of the token limit that was left, 0 to 1, from the last answer's headers."""
    TOOL_FEES: Final = "analysis.openai.tool_fees"
    """True when the request names tools of the service that it bills beside tokens, such as web search."""

    ERROR_TYPE: Final = "error.type"
    OPERATION: Final = "gen_ai.operation.name"
    PROVIDER: Final = "gen_ai.provider.name"
    REQUEST_MODEL: Final = "gen_ai.request.model"
    RESPONSE_MODEL: Final = "gen_ai.response.model"
    INPUT_TOKENS: Final = "gen_ai.usage.input_tokens"
    """Input tokens, the cached ones included."""
    OUTPUT_TOKENS: Final = "gen_ai.usage.output_tokens"
    """Output tokens, the reasoning ones included."""
    CACHED_TOKENS: Final = "gen_ai.usage.cache_read.input_tokens"
    CACHE_WRITE_TOKENS: Final = "gen_ai.usage.cache_write.input_tokens"
    """Input tokens written to the prompt cache, for which newer models charge more."""
    REASONING_TOKENS: Final = "gen_ai.usage.reasoning.output_tokens"
    SERVICE_TIER: Final = "openai.response.service_tier"
    REQUEST_TIER: Final = "openai.request.service_tier"


UNBILLED_OPERATIONS: Final = frozenset({"fetch_response"})
"""Operations that read what was paid for before."""


class Stage:
    """Stage names known from the start; hosts add their own freely."""

    CRITERIA: Final = "criteria"
    NAMING: Final = "naming"
    EXTRACTION: Final = "extraction"
    EMBEDDING: Final = "embedding"
    SIMILARITY: Final = "similarity"
    RANKING: Final = "ranking"
    INSIGHTS: Final = "insights"
    DB_WRITE: Final = "db_write"
    UNATTRIBUTED: Final = "unattributed"
    """Where a call counts that no stage claims."""


STAGES: Final = (
    Stage.CRITERIA,
    Stage.NAMING,
    Stage.EXTRACTION,
    Stage.EMBEDDING,
    Stage.SIMILARITY,
    Stage.RANKING,
    Stage.INSIGHTS,
    Stage.DB_WRITE,
    Stage.UNATTRIBUTED,
)

Kind = Literal["analysis", "intake", "late", "orphan", "import"]
KINDS: Final[tuple[Kind, ...]] = ("analysis", "intake", "late", "orphan", "import")
MEASURED_KINDS: Final[tuple[Kind, ...]] = ("analysis", "intake", "late")
"""Kinds of runs that a process begins and ends: what metrics of runs tell apart."""

RUNNING: Final = "running"
COMPLETED: Final = "completed"
PARTIAL_FAILURE: Final = "partial_failure"
FAILED: Final = "failed"
CANCELLED: Final = "cancelled"
INTERRUPTED: Final = "interrupted"
UNKNOWN: Final = "unknown"
"""Of an analysis from the time before telemetry that does not say how it ended."""
TERMINAL_STATUSES: Final = (COMPLETED, PARTIAL_FAILURE, FAILED, CANCELLED, INTERRUPTED)

SCORED: Final = "scored"
UNSCORED: Final = "unscored"
DUPLICATE: Final = "duplicate"
DOCUMENT_OUTCOMES: Final = (SCORED, FAILED, UNSCORED, DUPLICATE)
DOCUMENT_TYPES: Final = ("pdf", "docx", "txt", "doc", "rtf", "odt", "html", "md")

BATCH_TOO_LARGE: Final = "batch_too_large"
WARNING_TYPES: Final = (
    *("jd_too_long", "jd_too_short", "resume_too_long", "resume_too_short"),
    BATCH_TOO_LARGE,
)
ABANDONED: Final = "abandoned"
CONTINUED: Final = "continued"
WARNING_ACTIONS: Final = (CONTINUED, ABANDONED, "reduced_batch", "override")
"""What users do after a warning."""
SHOWN: Final = "shown"
REFUSED: Final = "refused"
"""Of a warning that was not recorded: its user has had too many."""

BATCH_SIZES: Final = ("none", "small", "medium", "large")
MEDIUM_BATCH: Final = 51
LARGE_BATCH: Final = 151

UNACCOUNTED_REASONS: Final = ("usage_missing", "unpriced", "orphan", "unfinished", "unclosed")
TOO_FAST: Final = "429"
QUOTA_USED_UP: Final = "429_quota"
SPEND_LIMIT_REACHED: Final = "429_spend_limit"
"""The three things that a 429 may say; waiting helps against the first alone."""
ATTEMPT_STATUSES: Final = (
    "200",
    "400",
    "401",
    "403",
    "404",
    "408",
    "409",
    "422",
    TOO_FAST,
    QUOTA_USED_UP,
    SPEND_LIMIT_REACHED,
    "500",
    "502",
    "503",
    "504",
    "timeout",
    "connection_error",
    "read_error",
    "cancelled",
)
OTHER: Final = "other"
"""What a label says beyond its closed set or its cap."""


def batch_size(candidates: int | None) -> str:
    """Return the batch size of a run.

    ``none``, ``small`` (1-50), ``medium`` (51-150) or ``large`` (151 and more).
    """
    if not candidates or candidates < 1:
        return "none"
    if candidates < MEDIUM_BATCH:
        return "small"
    return "medium" if candidates < LARGE_BATCH else "large"


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: its OpenTelemetry name, what it is, and its labels."""

    name: str
    """OpenTelemetry name."""
    instrument: Literal["counter", "gauge", "histogram"]
    unit: str
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Explicit bucket boundaries of a histogram, in its unit."""

    @property
    def prometheus_name(self) -> str:
        """Its name in Prometheus: with underscores, the unit, and ``_total`` for a counter.

        Where Prometheus itself takes OTLP, gauges of the unit 1 end in ``_ratio`` as well.
        """
        name, unit = self.name.replace(".", "_"), _PROMETHEUS_UNITS.get(self.unit)
        name = f"{name}_{unit}" if unit else name
        return f"{name}_total" if self.instrument == "counter" else name

    def label(self, name: str) -> Label:
        """Return what the label ``name`` says on this metric.

        Raises:
            LookupError: when :data:`LABELS` does not tell.
        """
        try:
            return LABELS.get(f"{self.name} {name}") or LABELS[name]
        except KeyError:
            raise LookupError(
                f"the label {name} of {self.name} has no entry in LABELS of telemetry.conventions"
            ) from None


_PROMETHEUS_UNITS: Final = {"s": "seconds", "By": "bytes"}


@dataclass(frozen=True, slots=True)
class Label:
    """What a label of metrics says."""

    meaning: str
    values: tuple[str, ...] = ()
    """All there are, or those that are known from the start."""
    setting: str = ""
    """The one that names the values; they are its default then."""
    is_open: bool = False
    """Whether values are added as they come, up to a cap beyond which they are ``other``."""


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
    "Warnings: `shown` when they were, what users did then, `refused` when there were too many.",
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
    "Attempts of the OpenAI client after one that failed, by whether that met a rate limit.",
    ("stage", "reason"),
)
OPENAI_RETRY_AFTER: Final = Metric(
    "analysis.openai.retry_after",
    "counter",
    "s",
    "Waits that OpenAI asked for by Retry-After; of each call, the longest.",
    ("stage",),
)
OPENAI_HEADROOM: Final = Metric(
    "analysis.openai.headroom",
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
    "Calls whose cost is unknown or belongs to no run; `unclosed`: parts of runs left by dead processes.",
    ("reason",),
)
ERRORS: Final = Metric("analysis.errors", "counter", "{error}", "Errors recorded in runs.", ("stage", "type"))
EVENTS: Final = Metric("analysis.events", "counter", "{event}", "Counters the host declared.", ("name",))

SYNTHETIC_RUNS: Final = Metric(
    "telemetry.synthetic.runs",
    "counter",
    "{run}",
    "Synthetic runs of the doctor that ended; no other metric counts them, nor what they did.",
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
    "telemetry.spool.dead", "gauge", "{snapshot}", "Snapshots the database refuses, set aside."
)
SPOOL_UNREADABLE: Final = Metric(
    "telemetry.spool.unreadable",
    "gauge",
    "{file}",
    "Files in the spool that are damaged, not ours or for another database, set aside.",
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
    "Rows that contradict others or themselves when one of the processes last looked, by check.",
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
    "Errors of ours that the host never saw.",
    ("component",),
)

METRICS: Final = tuple(value for value in list(globals().values()) if isinstance(value, Metric))
"""All metrics, in the order in which they stand above."""

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
"""Names ``telemetry.count`` takes unless TELEMETRY_COUNTERS says more."""

LABELS: Final[Mapping[str, Label]] = {
    "action": Label("What became of the warning.", (SHOWN, *WARNING_ACTIONS, REFUSED)),
    "batch_size": Label("Candidates: small 1 to 50, medium 51 to 150, large 151 and more.", BATCH_SIZES),
    "check": Label("Rule of `flask telemetry validate`.", is_open=True),
    "column": Label("Table and column.", is_open=True),
    "component": Label("Part of telemetry.", COMPONENTS),
    "kind": Label("What the run is.", MEASURED_KINDS),
    "limit": Label("Which of the two rate limits.", RATE_LIMITS),
    "model": Label("Model that answered, else the one that was asked.", is_open=True),
    "name": Label("Counter of the host's.", (*DEFAULT_COUNTERS, OTHER), setting="TELEMETRY_COUNTERS"),
    "operation": Label("As in `gen_ai.operation.name`: chat, embeddings …", is_open=True),
    "outcome": Label("Whether the call was answered.", (OK, ERROR)),
    "reason": Label("Why the cost is not known, or belongs to no run.", UNACCOUNTED_REASONS),
    "stage": Label("Stage of the run.", STAGES, setting="TELEMETRY_STAGES", is_open=True),
    "status": Label("How the run ended.", TERMINAL_STATUSES),
    "transaction": Label("Which of the writer's transactions.", TRANSACTIONS),
    "type": Label("Type of the file.", (*DOCUMENT_TYPES, OTHER)),
    "what": Label("What was let go.", SHED_PARTS),
    f"{DOCUMENTS.name} outcome": Label("What became of the document.", DOCUMENT_OUTCOMES),
    f"{ERRORS.name} type": Label(
        "Class of the exception, or what the service called the error.", is_open=True
    ),
    f"{OPENAI_ATTEMPTS.name} status": Label(
        "HTTP status, or why there is none; a 429 by what it said.", (*ATTEMPT_STATUSES, OTHER)
    ),
    f"{OPENAI_RETRIES.name} reason": Label("What the attempt before met.", RETRY_REASONS),
    f"{OPENAI_TOKENS.name} kind": Label("What the tokens were for.", TOKEN_KINDS),
    f"{WARNINGS.name} type": Label("Type of the warning.", WARNING_TYPES, setting="TELEMETRY_WARNING_TYPES"),
}
"""What labels say, by their name; by metric and name where one metric means something else by it."""
