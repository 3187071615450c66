"""Calls whose work continues after the answer: their usage arrives with a later poll.

A background response, or a run of an assistant, is created by a request that is answered at once and without
usage. The call stays open until a request of the same process reads its result. Then it ends, once, in the
run and stage in which it began. Until then it is ``unfinished`` there and the cost incomplete; without a poll
it stays so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from telemetry.usage.reader import read_answer

from .call import OpenAICall

MOST: Final = 1_000
"""Limit of open calls; beyond it the oldest ends with an unknown bill."""
OPERATIONS: Final = frozenset({"chat", "run"})
"""Operations that may be answered before the work is done."""
_UNDER_WAY: Final = frozenset({"queued", "in_progress", "requires_action", "cancelling"})

_pending: Final[dict[str, OpenAICall]] = {}
"""Open calls by the id of their answer, oldest first. No lock: a forked child could inherit it locked."""


def wait_for(call: OpenAICall, answer: object) -> bool:
    """Keep ``call`` open if ``answer`` says that the service is still working; return whether it is."""
    key = _key(answer)
    if key is None or call.answer.tokens is not None or _get(answer, "status") not in _UNDER_WAY:
        return False
    call.pause()
    replaced = _pending.pop(key, None)
    _pending[key] = call
    if replaced is not None and replaced is not call:
        replaced.end()
    while len(_pending) > MOST:
        oldest = _pending.pop(next(iter(_pending)), None)
        if oldest is not None:
            oldest.end()
    return True


def is_anything_pending() -> bool:
    """Return whether any call waits for its usage."""
    return bool(_pending)


def resolve(answer: object) -> None:
    """End the open call that ``answer`` is the result of, if there is one and the service is done."""
    key = _key(answer)
    if key is None or key not in _pending or _get(answer, "status") in _UNDER_WAY:
        return
    call = _pending.pop(key, None)
    if call is not None:  # otherwise another thread has ended it
        call.answer = read_answer(answer)
        call.end()


def _key(answer: object) -> str | None:
    key = _get(answer, "id")
    return key if isinstance(key, str) else None


def _get(holder: object, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
