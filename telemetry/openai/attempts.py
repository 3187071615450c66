"""Span attributes that follow from the HTTP attempts of one OpenAI call.

Pure arithmetic over the attempts; nothing here touches a client or a span.
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

from telemetry._internal.process.signals import let_pass
from telemetry.conventions import QUOTA_USED_UP, SPEND_LIMIT_REACHED, TOO_FAST, Attribute

from .kinds_of_429 import status_of

Attributes = dict[str, AttributeValue]

_HEADROOM: Final = (
    (Attribute.REMAINING_REQUESTS, "x-ratelimit-remaining-requests", "x-ratelimit-limit-requests"),
    (Attribute.REMAINING_TOKENS, "x-ratelimit-remaining-tokens", "x-ratelimit-limit-tokens"),
)
"""The attribute for the remaining share of a limit, and the two headers that it is computed from."""
_NOT_SENT: Final = frozenset(
    {
        *("ConnectError", "ProxyError", "UnsupportedProtocol", "LocalProtocolError", "InvalidURL"),
        *("ConnectionRefusedError", "gaierror"),
    }
)
"""Exceptions that the HTTP client or the operating system raises before a request is sent."""
LIMIT_HEADERS: Final = frozenset(header for _, *headers in _HEADROOM for header in headers)


class Attempt(NamedTuple):
    """One HTTP request of a call."""

    started: float
    """Seconds on the monotonic clock, as is ``ended``: when headers arrived or an exception was raised."""
    ended: float
    status: str
    """As in :data:`telemetry.conventions.ATTEMPT_STATUSES`, or another HTTP code as text."""
    retry_after: float | None = None
    """Seconds to wait that the service requested."""
    limits: Mapping[str, str] | None = None
    """The rate-limit headers of the answer, if there was one; no other header is read."""
    refusal: Any = None
    """The answer, if it is a 429 whose kind is still unknown: see :func:`classify_refusals`."""


def classify_refusals(attempts: MutableSequence[Attempt]) -> None:
    """Set the kind of each 429 among ``attempts``, from the bodies that have been read by now.

    The client reads the body of a streamed request only when it gives up; before a retry it drops the unread
    body. Such an attempt gets the kind of the next attempt, if that was a 429 too.
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
    """Return the body of an answer, or None if it was not read; reading it here could block."""
    try:
        content = response.content
    except Exception as error:  # httpx and httpx2 each have their own ResponseNotRead
        let_pass(error)
        return None
    return content if isinstance(content, bytes) else None


def attempt_attributes(attempts: Sequence[Attempt]) -> Attributes:
    """Return the attributes of one call's attempts, which are given in the order in which they were made.

    Attributes that would be zero are left out: each costs time on every call, and most calls need one
    attempt.
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
    """Return the status of an attempt that ended with ``error`` instead of an answer.

    ``connection_error``: before the request was sent, so nothing was billed. ``read_error``: later, perhaps
    in the middle of the answer, so the service may have billed it.
    """
    if isinstance(error, asyncio.CancelledError) or not isinstance(error, Exception):
        return "cancelled"
    # By name: httpx and httpx2 each have their own TimeoutException, and either may be absent.
    names = {kind.__name__ for kind in type(error).__mro__}
    if names & {"TimeoutException", "TimeoutError"}:
        return "timeout"
    return "read_error" if names.isdisjoint(_NOT_SENT) else "connection_error"


def retry_after(headers: Mapping[str, str]) -> float | None:
    """Return the seconds to wait that the headers request, or None.

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
    """Add the remaining share of each limit, from the last answer that has its headers."""
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
