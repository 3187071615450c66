"""Scopes and attributes of spans."""

from __future__ import annotations

from typing import Final

SCOPE: Final = "analysis.telemetry"
"""Instrumentation scope of the spans and metrics of the API."""
OPENAI_SCOPE: Final = "analysis.telemetry.openai"
"""Scope of our spans for OpenAI calls without an official span (``client.post``)."""
GENAI_SCOPE: Final = "opentelemetry.instrumentation.genai.openai"
"""Scope of the official OpenAI instrumentation.

Only this one and ours are counted, so that no token is counted twice if other tools create spans as well.
"""
COUNTED_SCOPES: Final = frozenset({GENAI_SCOPE, OPENAI_SCOPE})


class Attribute:
    """Span attributes: first ours, then those of the OpenTelemetry conventions that we read or add."""

    RUN_ID: Final = "analysis.run.id"
    """Id of the run that a root span represents: 32 hexadecimal digits."""
    RUN_KIND: Final = "analysis.run.kind"
    """One of :data:`KINDS`, or a kind that the application declares."""
    RUN_SYNTHETIC: Final = "analysis.run.synthetic"
    """True on the root span of a synthetic run, which only tests telemetry; absent from all others."""
    RUN_STATUS: Final = "analysis.run.status"
    """Status that the host reported; the row may differ, once all documents are counted."""
    STAGE: Final = "analysis.stage"
    """Stage that a span belongs to. Any span with this attribute counts as a stage of the open run."""
    DOCUMENT_SIZE: Final = "analysis.document.size"
    """Size of the document in bytes."""
    DOCUMENT_CHARACTERS: Final = "analysis.document.characters"
    """Characters of extracted text."""
    DOCUMENT_TYPE: Final = "analysis.document.type"
    """Lower-case file type, such as ``pdf``."""
    DOCUMENT_OUTCOME: Final = "analysis.document.outcome"
    """One of :data:`DOCUMENT_OUTCOMES`."""

    ATTEMPTS: Final = "analysis.openai.attempts"
    """Number of HTTP requests of one logical call, the first included."""
    ATTEMPT_STATUSES: Final = "analysis.openai.attempt_statuses"
    """Status of each attempt in order: one of :data:`ATTEMPT_STATUSES`, or another HTTP code as text."""
    RATE_LIMIT_HITS: Final = "analysis.openai.rate_limit_hits"
    """Responses with status 429 because of the rate. Like the next three attributes, left out if it is 0."""
    RATE_LIMIT_RETRIES: Final = "analysis.openai.rate_limit_retries"
    """Attempts directly after one that was refused because of the rate."""
    OTHER_RETRIES: Final = "analysis.openai.other_retries"
    """Attempts directly after any other failure."""
    BACKOFF: Final = "analysis.openai.backoff"
    """Seconds the client slept between attempts."""
    RETRY_AFTER: Final = "analysis.openai.retry_after"
    """Longest wait that the service requested, in seconds."""
    REMAINING_REQUESTS: Final = "analysis.openai.ratelimit.remaining_requests"
    """Share of the request limit that was left, 0 to 1, from the last answer's headers."""
    REMAINING_TOKENS: Final = "analysis.openai.ratelimit.remaining_tokens"
    """Share of the token limit that was left, 0 to 1, from the last answer's headers."""
    TOOL_FEES: Final = "analysis.openai.tool_fees"
    """True if the request allows tools that are billed in addition to tokens, such as web search."""

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
"""Operations that only read what an earlier request has paid for."""
