"""Answers that the service goes on working on after it has sent them: their usage comes with a later poll.

A response in the background, or a run of an assistant, is created by a request that is answered at once and
names no usage. The call stays under way until a request of the same process reads its result, or hears how it
ended. Then it ends, once, in the run and the stage in which it began. Until then it is ``unfinished`` there,
and the cost is not complete; if nobody asks, it stays so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from telemetry.usage.reader import read_answer

from .call import OpenAICall

MOST: Final = 1_000
"""Calls that are remembered; beyond that the oldest ends with an unknown bill."""
OPERATIONS: Final = frozenset({"chat", "run"})
"""Operations whose answers may come before the work is done."""
_UNDER_WAY: Final = frozenset({"queued", "in_progress", "requires_action", "cancelling"})

_pending: Final[dict[str, OpenAICall]] = {}
"""By the id of the answer, the oldest first. No lock: a forked child might wait for it for ever."""


def wait_for(call: OpenAICall, answer: object) -> bool:
    """Keep ``call`` under way if ``answer`` says that the service goes on working; say whether it does."""
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
    """Say whether any call waits for its usage."""
    return bool(_pending)


def settle(answer: object) -> None:
    """End the call whose result ``answer`` is, if one waits for it and the service is done."""
    key = _key(answer)
    if key is None or key not in _pending or _get(answer, "status") in _UNDER_WAY:
        return
    call = _pending.pop(key, None)
    if call is not None:  # else another thread was quicker
        call.answer = read_answer(answer)
        call.end()


def _key(answer: object) -> str | None:
    key = _get(answer, "id")
    return key if isinstance(key, str) else None


def _get(holder: object, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
