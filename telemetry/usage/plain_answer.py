"""Fast path for the common chat answer, in which nothing but tokens is billed.

The full reader (:mod:`.reader`) takes several times as long, and would slow down every call. It reads all
answers that are unusual in any way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from telemetry._internal.process.signals import let_pass
from telemetry.pricing.model_names import always_searches
from telemetry.pricing.rates import Tokens

from .answer import MOST_TOKENS, Answer

_FIELDS: Final = frozenset(
    {
        *("id", "object", "created", "model", "choices", "service_tier", "system_fingerprint", "usage"),
        *("metadata", "_request_id"),  # the client adds the latter
    }
)


def read_plain(answer: Any) -> Answer | None:
    """Return the facts of a ``ChatCompletion`` object, or None if it needs the full reader."""
    if type(answer).__name__ != "ChatCompletion":
        return None
    try:
        return _read(answer, answer.__dict__)
    except (
        AttributeError,
        KeyError,
        TypeError,
    ) as error:  # not an object of the client, or of another version
        let_pass(error)
        return None


def _read(answer: Any, fields: Mapping[str, Any]) -> Answer | None:
    model, tier, tokens = fields["model"], fields.get("service_tier"), _tokens(fields["usage"])
    if tokens is None or type(model) is not str or not model or always_searches(model):
        return None
    if answer.__pydantic_extra__ or (tier is not None and type(tier) is not str) or not fields["choices"]:
        return None
    for name, value in fields.items():
        if value is not None and name not in _FIELDS:
            return None
    for choice in fields["choices"]:
        message = choice.message
        content = message.__dict__
        if message.__pydantic_extra__ or content.get("annotations") or content.get("audio"):
            return None
    return Answer(tokens, model, tier or None, (), (), True)


def _tokens(usage: Any) -> Tokens | None:
    """Return the tokens of a usage whose only details are cached input and reasoning, else None."""
    if usage is None or usage.__pydantic_extra__:
        return None
    counts = usage.__dict__
    whole, output = counts["prompt_tokens"], counts["completion_tokens"]
    total, cached, reasoning = counts["total_tokens"], 0, 0
    for name, details in counts.items():
        if details is None or type(details) is int:
            continue
        if details.__pydantic_extra__:
            return None
        for part, count in details.__dict__.items():
            if not count:
                continue
            if part == "cached_tokens" and name == "prompt_tokens_details":
                cached = count
            elif part == "reasoning_tokens" and name == "completion_tokens_details":
                reasoning = count
            else:
                return None
    if not (type(whole) is type(output) is type(total) is type(cached) is type(reasoning) is int):
        return None
    if whole == 0 or whole + output != total or not 0 <= cached <= whole <= MOST_TOKENS:
        return None
    return Tokens(whole, output, cached, reasoning) if 0 <= reasoning <= output <= MOST_TOKENS else None
