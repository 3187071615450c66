"""The three meanings of status 429: rate limited, quota used up, spend limit reached.

The error's ``code`` distinguishes them; its ``type`` is often ``insufficient_quota`` for both of the latter.
Waiting helps only in the first case, so only that counts as rate limiting. An answer with an unknown code and
an unknown type, or with a body that was not read, counts as rate limiting too.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, Final

from telemetry.conventions import QUOTA_USED_UP, SPEND_LIMIT_REACHED, TOO_FAST

MOST_BYTES: Final = 64 * 1024
"""Longer bodies are not parsed."""
_SPEND_LIMIT: Final = re.compile("spend_?limit|hard_?limit|budget")
"""Matches ``project_spend_limit_exceeded``, ``billing_hard_limit_reached`` and similar codes."""
_QUOTA: Final = re.compile("quota|credit_balance|usage_limit|billing")
"""Matches ``insufficient_quota``, ``credit_balance_exhausted``, ``organization_usage_limit_exceeded`` …"""
_RATE: Final = re.compile("rate_?limit|too_?many_?requests|slow_down")


def status_of(body: bytes | None) -> str:
    """Return the attempt status for a 429 with ``body``, which is None if it was not read."""
    if body is None or len(body) > MOST_BYTES:
        return TOO_FAST
    try:
        return _kind_of(json.loads(body))
    except (ValueError, RecursionError):
        return TOO_FAST


def _kind_of(answer: object) -> str:
    """Return the attempt status for a 429 with the decoded JSON ``answer``."""
    if isinstance(answer, Sequence) and not isinstance(answer, str) and answer:
        answer = answer[0]  # some gateways wrap it in a list
    error: Any = answer.get("error", answer) if isinstance(answer, Mapping) else None
    if not isinstance(error, Mapping):
        return TOO_FAST
    for name in ("code", "type"):
        text = str(error.get(name) or "").lower()
        if _SPEND_LIMIT.search(text):
            return SPEND_LIMIT_REACHED
        if _RATE.search(text):
            return TOO_FAST
        if _QUOTA.search(text):
            return QUOTA_USED_UP
    return TOO_FAST
