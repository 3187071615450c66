"""Makes the :class:`Call` to add up from the observed requests or, if there are none, from a span."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any, Final

from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan

from exporters.rollup.call import Call
from telemetry._internal.guard import guarded
from telemetry.conventions import Attribute
from telemetry.openai.call import OpenAICall
from telemetry.pricing.prices import Price, Pricer, Tokens
from telemetry.pricing.provider import provider_of
from telemetry.usage.answer import Answer
from telemetry.usage.endpoints import BILLED_IN_TOKENS
from telemetry.usage.fields import SESSION_TOOLS
from telemetry.usage.reader import read_answer

_HOST: Final = "server.address"
_LIMITS: Final = ((Attribute.REMAINING_REQUESTS, "requests"), (Attribute.REMAINING_TOKENS, "tokens"))
_PROVIDERS: Final = {"openai": "openai", "azure.ai.openai": "azure"}


def from_wire(seen: OpenAICall, stage: str, price: Pricer) -> Call:
    """Return the call whose requests were observed in the client."""
    answer, facts = seen.answer, seen.attempt_facts
    unmodelled = answer.unmodelled
    if seen.operation not in BILLED_IN_TOKENS:
        unmodelled += (seen.operation,)
    model, tokens = answer.model or seen.asked_model, answer.tokens
    tier = answer.service_tier or _asked(seen.asked_tier)
    return Call(
        stage=stage[:64],
        operation=seen.operation[:32],
        model=(model or "")[:128],
        service_tier=tier[:32],
        ok=seen.error_type is None,
        duration_us=max((seen.ended_ns or seen.started_ns) - seen.started_ns, 0) // 1000,
        statuses=tuple([attempt.status for attempt in seen.attempts]),
        backoff_us=_microseconds(facts[Attribute.BACKOFF]) if Attribute.BACKOFF in facts else 0,
        retry_after_us=_microseconds(facts[Attribute.RETRY_AFTER]) if Attribute.RETRY_AFTER in facts else 0,
        tokens=tokens,
        price=None if unmodelled else _priced(price, seen.billed_by, model, tokens, seen.started_ns, tier),
        has_tool_fees=bool(seen.billed_tools) and _may_have_fees(seen.billed_tools, answer),
        unmodelled=unmodelled,
        has_unknown_bill=seen.has_unknown_bill or bool(answer.missing),
        headroom=_headroom(facts),
    )


def from_span(span: ReadableSpan, attributes: Mapping[str, Any], stage: str, price: Pricer) -> Call:
    """Return the call that an ended ``span`` describes, where no request was observed."""
    asked, answered = attributes.get(Attribute.REQUEST_MODEL), attributes.get(Attribute.RESPONSE_MODEL)
    model, read = text(answered) or text(asked), _read(attributes)
    tier = text(attributes.get(Attribute.SERVICE_TIER)) or _asked(
        text(attributes.get(Attribute.REQUEST_TIER))
    )
    start, end = span.start_time or 0, span.end_time or 0
    failed = Attribute.ERROR_TYPE in attributes or span.status.status_code is trace.StatusCode.ERROR
    provider = _billed_by(text(attributes.get(Attribute.PROVIDER)) or "", text(attributes.get(_HOST)))
    return Call(
        stage=stage[:64],
        operation=(text(attributes.get(Attribute.OPERATION)) or "unknown")[:32],
        model=(model or "")[:128],
        service_tier=tier[:32],
        ok=not failed,
        duration_us=max(end - start, 0) // 1000,
        statuses=_texts(attributes.get(Attribute.ATTEMPT_STATUSES)),
        backoff_us=_microseconds(attributes.get(Attribute.BACKOFF)),
        retry_after_us=_microseconds(attributes.get(Attribute.RETRY_AFTER)),
        tokens=read.tokens,
        price=_priced(price, provider, model, read.tokens, start, tier),
        has_tool_fees=Attribute.TOOL_FEES in attributes,
        has_unknown_bill=bool(read.missing),
        headroom=_headroom(attributes),
    )


def _billed_by(provider: str, host: str | None) -> str:
    """Return the provider whose prices apply, by a span's ``gen_ai.provider.name`` and the host it names."""
    if host is not None:
        return provider_of(host, provider == "azure.ai.openai")
    return _PROVIDERS.get(provider, "openai")


def _may_have_fees(offered: Sequence[str], answer: Answer) -> bool:
    """Return whether tools may have been billed that the answer does not mention."""
    return any(not answer.shows_tools or tool.startswith(SESSION_TOOLS) for tool in offered)


@guarded("pricing")
def _priced(
    price: Pricer, provider: str, model: str | None, tokens: Tokens | None, start: int, tier: str
) -> Price | None:
    if tokens is None or not model:
        return None
    return price(provider, model, tokens, start, tier)


def _read(attributes: Mapping[str, Any]) -> Answer:
    """Return the token counts of a span, validated in the same way as those of an answer."""
    if Attribute.INPUT_TOKENS not in attributes and Attribute.OUTPUT_TOKENS not in attributes:
        return Answer()
    usage = {
        "input_tokens": attributes.get(Attribute.INPUT_TOKENS),
        "output_tokens": attributes.get(Attribute.OUTPUT_TOKENS),
        "input_tokens_details": {
            "cached_tokens": attributes.get(Attribute.CACHED_TOKENS),
            "cache_write_tokens": attributes.get(Attribute.CACHE_WRITE_TOKENS),
        },
        "output_tokens_details": {"reasoning_tokens": attributes.get(Attribute.REASONING_TOKENS)},
    }
    return read_answer({"usage": usage})


def _asked(tier: str | None) -> str:
    """Return the requested tier, for an answer that names none; empty for ``auto``, which names no tier."""
    return tier if tier and tier != "auto" else ""


def _headroom(attributes: Mapping[str, Any]) -> list[tuple[str, int]]:
    shares = []
    for name, limit in _LIMITS:
        share = attributes.get(name)
        if isinstance(share, (int, float)) and 0 <= share <= 1:
            shares.append((limit, round(share * 10_000)))
    return shares


def _microseconds(seconds: object) -> int:
    return round(number(seconds) * 1e6)


def text(value: object) -> str | None:
    """Return ``value`` if it is a string that is not empty, else None."""
    return value if isinstance(value, str) and value else None


def _texts(value: object) -> tuple[str, ...]:
    return tuple([str(item) for item in value]) if isinstance(value, (tuple, list)) else ()


def number(value: object) -> float:
    """Return ``value`` if it is a finite number, else 0."""
    return value if isinstance(value, (int, float)) and math.isfinite(value) else 0
