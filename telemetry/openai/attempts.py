"""What the attempts of one OpenAI call say about it, as span attributes.

Plain arithmetic over what :mod:`telemetry.openai` saw; nothing here touches a client or a span.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Mapping, MutableSequence, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from itertools import pairwise
from typing import Any, Final, NamedTuple

from opentelemetry.util.types import AttributeValue

from telemetry._internal.signals import let_pass
from telemetry.conventions import QUOTA_USED_UP, SPEND_LIMIT_REACHED, TOO_FAST, Attribute

from .kinds_of_429 import status_of

Attributes = dict[str, AttributeValue]

_HEADROOM: Final = (
    (Attribute.REMAINING_REQUESTS, "x-ratelimit-remaining-requests", "x-ratelimit-limit-requests"),
    (Attribute.REMAINING_TOKENS, "x-ratelimit-remaining-tokens", "x-ratelimit-limit-tokens"),
)
"""The share that is left of a limit, and the headers with the two figures it takes."""
_NOT_SENT: Final = frozenset(
    {
        *("ConnectError", "ProxyError", "UnsupportedProtocol", "LocalProtocolError", "InvalidURL"),
        *("ConnectionRefusedError", "gaierror"),
    }
)
"""What the HTTP client, or the system below it, raises before a request has left."""
LIMIT_HEADERS: Final = frozenset(header for _, *headers in _HEADROOM for header in headers)


class Attempt(NamedTuple):
    """One HTTP request of a call."""

    started: float
    """Seconds on the monotonic clock; so is ``ended``, when headers or an exception came back."""
    ended: float
    status: str
    """As in :data:`telemetry.conventions.ATTEMPT_STATUSES`, or another HTTP code as text."""
    retry_after: float | None = None
    """Seconds the service asked to wait."""
    limits: Mapping[str, str] | None = None
    """The answer's headers that tell of rate limits, if one came; others are not looked at."""
    refusal: Any = None
    """The answer, if it is a 429 whose kind is not known yet: see :func:`settle`."""


def settle(attempts: MutableSequence[Attempt]) -> None:
    """Find out which kind of 429 each attempt met, as far as their bodies were read by now.

    The body of a streamed request is only read when the client gives up. Until then it tries again, and
    throws away what it did not read: such an attempt met what the next one met, if that was a 429.
    """
    later = TOO_FAST
    for place in reversed(range(len(attempts))):
        attempt = attempts[place]
        if attempt.refusal is None:
            later = attempt.status if attempt.status in (QUOTA_USED_UP, SPEND_LIMIT_REACHED) else TOO_FAST
            continue
        body = _read_body(attempt.refusal)
        later = later if body is None else status_of(body)
        attempts[place] = attempt._replace(status=later, refusal=None)


def _read_body(response: Any) -> bytes | None:
    """Return the body of an answer, None if nobody has read it: we do not, since that may take its time."""
    try:
        content = response.content
    except Exception as error:  # httpx and httpx2 have a ResponseNotRead each
        let_pass(error)
        return None
    return content if isinstance(content, bytes) else None


def attempt_attributes(attempts: Sequence[Attempt]) -> Attributes:
    """Return the attributes that describe the attempts of one call, in the order in which they were made.

    What is nought is left out: every attribute costs every call, and most calls need one attempt.
    """
    statuses = [attempt.status for attempt in attempts]
    attributes: Attributes = {Attribute.ATTEMPTS: len(attempts), Attribute.ATTEMPT_STATUSES: statuses}
    if statuses and statuses != ["200"]:
        sums = _retries(attempts, statuses)
        attributes.update({name: amount for name, amount in sums.items() if amount})
        waits = [attempt.retry_after for attempt in attempts if attempt.retry_after is not None]
        if waits:
            attributes[Attribute.RETRY_AFTER] = max(waits)
    _add_headroom(attributes, attempts)
    return attributes


def failure_status(error: BaseException) -> str:
    """Return the status of an attempt that ended in ``error`` instead of an answer.

    A ``connection_error`` came before the request was sent: nothing was billed. A ``read_error`` came after
    that, perhaps in the middle of the answer: the service may have done its work.
    """
    if isinstance(error, asyncio.CancelledError) or not isinstance(error, Exception):
        return "cancelled"
    # By name: httpx and httpx2 have a TimeoutException each, and either may be absent.
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"TimeoutException", "TimeoutError"}:
        return "timeout"
    return "read_error" if names.isdisjoint(_NOT_SENT) else "connection_error"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds that the answer's headers ask to wait, or None.

    Understands ``retry-after-ms``, and ``retry-after`` in seconds or as an HTTP date.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    text = headers.get("retry-after")
    seconds = _number(text)
    return _seconds_until(text) if seconds is None and text else seconds


def _retries(attempts: Sequence[Attempt], statuses: Sequence[str]) -> dict[str, float]:
    after_rate_limit = statuses[:-1].count(TOO_FAST)
    return {
        Attribute.RATE_LIMIT_HITS: statuses.count(TOO_FAST),
        Attribute.RATE_LIMIT_RETRIES: after_rate_limit,
        Attribute.OTHER_RETRIES: len(attempts) - 1 - after_rate_limit,
        Attribute.BACKOFF: sum(after.started - before.ended for before, after in pairwise(attempts)),
    }


def _add_headroom(attributes: Attributes, attempts: Sequence[Attempt]) -> None:
    """Add what was left of the limits at the last answer that has these headers."""
    for name, remaining, limit in _HEADROOM:
        for attempt in reversed(attempts):
            limits = attempt.limits or {}
            try:
                left, total = float(limits[remaining]), float(limits[limit])
            except (KeyError, ValueError):
                continue
            if 0 <= left < math.inf and 0 < total < math.inf:
                attributes[name] = min(left / total, 1.0)
                break


def _number(text: str | None) -> float | None:
    """Return a finite number that is not negative, or None."""
    try:
        number = float(text) if text else math.nan
    except ValueError:
        return None
    return number if math.isfinite(number) and number >= 0 else None


def _seconds_until(http_date: str) -> float | None:
    try:
        moment = parsedate_to_datetime(http_date)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max((moment - datetime.now(UTC)).total_seconds(), 0.0)
