"""The figures of a call's attempts, computed from plain values."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from telemetry.conventions import Attribute
from telemetry.openai.attempts import Attempt, attempt_attributes, retry_after


def test_retries_and_backoff_are_summed() -> None:
    """A retry is classified by the attempt before it; backoff is the time between attempts."""
    attributes = attempt_attributes(
        [
            Attempt(0.0, 1.0, "429", retry_after=0.5, limits=limits(left=0)),
            Attempt(1.5, 2.0, "500", retry_after=0.2, limits={}),
            Attempt(3.0, 4.0, "timeout"),
            Attempt(4.25, 5.0, "200", limits=limits(left=25)),
        ]
    )
    assert attributes == {
        Attribute.ATTEMPTS: 4,
        Attribute.ATTEMPT_STATUSES: ["429", "500", "timeout", "200"],
        Attribute.RATE_LIMIT_HITS: 1,
        Attribute.RATE_LIMIT_RETRIES: 1,
        Attribute.OTHER_RETRIES: 2,
        Attribute.BACKOFF: 0.5 + 1.0 + 0.25,
        Attribute.RETRY_AFTER: 0.5,
        Attribute.REMAINING_REQUESTS: 0.25,
    }


def test_headroom_is_that_of_the_last_answer() -> None:
    """When the last attempt had no answer, the limits of an earlier one count."""
    attributes = attempt_attributes(
        [Attempt(0, 1, "500", limits=limits(left=40)), Attempt(2, 3, "timeout")],
    )
    assert attributes[Attribute.REMAINING_REQUESTS] == 0.4


def test_call_that_was_never_sent_has_no_attempts() -> None:
    """The attribute is zero, not absent."""
    assert attempt_attributes([]) == {Attribute.ATTEMPTS: 0, Attribute.ATTEMPT_STATUSES: []}


@pytest.mark.parametrize(
    ("status", "more"), [("200", {}), ("500", {}), ("429", {Attribute.RATE_LIMIT_HITS: 1})]
)
def test_counts_of_zero_are_left_out(status: str, more: dict[str, int]) -> None:
    """A call without retries has no attribute for them."""
    expected = {Attribute.ATTEMPTS: 1, Attribute.ATTEMPT_STATUSES: [status], **more}
    assert attempt_attributes([Attempt(0, 1, status)]) == expected


@pytest.mark.parametrize(("left", "total"), [("7", "0"), ("x", "10"), ("7", ""), ("-1", "10"), ("inf", "10")])
def test_unusable_limits_are_left_out(left: str, total: str) -> None:
    """They cannot be made into a share between 0 and 1."""
    headers = {"x-ratelimit-remaining-requests": left, "x-ratelimit-limit-requests": total}
    assert Attribute.REMAINING_REQUESTS not in attempt_attributes([Attempt(0, 1, "200", limits=headers)])


def limits(*, left: int) -> dict[str, str]:
    return {"x-ratelimit-remaining-requests": str(left), "x-ratelimit-limit-requests": "100"}


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"retry-after-ms": "250"}, 0.25),
        ({"retry-after": "3"}, 3.0),
        ({"retry-after-ms": "250", "retry-after": "3"}, 0.25),
        ({"retry-after-ms": "soon", "retry-after": "1.5"}, 1.5),
        ({"retry-after": "Mon, 01 Jan 2024 00:00:00 GMT"}, 0.0),
        ({"retry-after": "-1"}, None),
        ({"retry-after": "nan"}, None),
        ({"retry-after": "tomorrow"}, None),
    ],
)
def test_retry_after_is_read_in_all_its_forms(headers: dict[str, str], seconds: float | None) -> None:
    """Unreadable values mean no wait."""
    assert retry_after(headers) == seconds


def test_retry_after_may_be_a_date() -> None:
    """The wait lasts until that date."""
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=30), usegmt=True)
    assert retry_after({"retry-after": date}) == pytest.approx(30, abs=2)
