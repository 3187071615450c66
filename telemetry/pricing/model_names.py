"""Names of models: whether the price of a list is really that of a model, and what its name alone tells.

The list matches some models by the beginning or by a part of a name, so that the price of ``gpt-5-nano``
would also be that of ``gpt-5-nano-clone``. A look-alike has no price here.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

_SNAPSHOT: Final = r"(-preview|-latest)?(-\d{4}-\d{2}-\d{2}|-(0[1-9]|1[0-2])[0-3]\d)?"
"""What may follow the name of a model: that it is a preview, and of which day."""
_FINE_TUNED: Final = r"[-\d]*:.*"
"""What follows the beginning of ``ft:<model>:<organisation>:<name>:<id>``: the rest of a date."""
_FINE_TUNED_ON_AZURE: Final = r"[0-9a-z-]+"
"""What follows ``<model>.ft-`` there."""
_OTHER_THAN_TEXT: Final = re.compile(
    r"(^|-)(audio|image|live|realtime|sora|speech|transcribe|tts|video|whisper)(-|$)"
)
_SEARCHES: Final = re.compile(r"-search-(preview|api)(-|$)|deep-research")
_BEFORE_REGIONS: Final = re.compile(
    r"(ft:)?(chatgpt-|gpt-[1-4]|gpt-5(\.[0-3])?(-|$)|o[134](-|$)|text-embedding-)"
)


@lru_cache(1024)
def always_searches(model: str) -> bool:
    """Say whether a model searches the web in every call, which costs beside its tokens."""
    return _SEARCHES.search(model.lower()) is not None


def handles_more_than_text(model: str) -> bool:
    """Say whether a model hears, speaks, sees or draws at another price than that of text."""
    return _OTHER_THAN_TEXT.search(model.lower()) is not None


def is_open_weight(model: str) -> bool:
    """Say whether OpenAI gives the model away: each of those who run it has a price of their own."""
    return model.lower().startswith("gpt-oss")


def bills_cache_writes(model: str) -> bool:
    """Say whether writing to the prompt cache costs more than other input: since gpt-5.6."""
    found = re.match(r"(?:ft:)?gpt-(\d+)(?:[.-](\d{1,2})(?!\d))?", model.lower())
    return found is not None and (int(found[1]), int(found[2] or 0)) >= (5, 6)


def has_regional_price(model: str) -> bool:
    """Say whether a model costs more where data stays in a region: all but those from before March 2026."""
    return _BEFORE_REGIONS.match(model.lower()) is None


def is_named(match: Any, model: str) -> bool:
    """Say whether the clause ``match`` of the list means just ``model``, and not some name like it."""
    name = model.lower()
    if hasattr(match, "or_"):
        return any(is_named(clause, name) for clause in match.or_)
    if hasattr(match, "and_"):
        return all(is_named(clause, name) for clause in match.and_)
    if hasattr(match, "equals"):
        return bool(match.equals.lower() == name)
    if hasattr(match, "regex"):
        return re.fullmatch(match.regex, name) is not None
    if hasattr(match, "starts_with"):
        return _continues(match.starts_with.lower(), name)
    return hasattr(match, "contains") and _continues(match.contains.lower(), name)


def _continues(beginning: str, name: str) -> bool:
    if beginning.startswith("ft:"):
        rest = _FINE_TUNED
    elif beginning.endswith(".ft-"):
        rest = _FINE_TUNED_ON_AZURE
    else:
        beginning, rest = beginning.rstrip("-"), _SNAPSHOT
    return name.startswith(beginning) and re.fullmatch(rest, name[len(beginning) :]) is not None
