"""Properties that follow from a model's name, and whether an entry of the price list is for that model.

The list matches some models by a prefix or a substring, so ``gpt-5-nano-clone`` would get the price of
``gpt-5-nano``. Here a model with such a similar name is unpriced.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any, Final

_SNAPSHOT: Final = r"(-preview|-latest)?(-\d{4}-\d{2}-\d{2}|-(0[1-9]|1[0-2])[0-3]\d)?"
"""Suffix that a model name may have: preview or latest, and a date."""
_FINE_TUNED: Final = r"[-\d]*:.*"
"""The part after the base model in ``ft:<model>:<organisation>:<name>:<id>``."""
_FINE_TUNED_ON_AZURE: Final = r"[0-9a-z-]+"
"""The part after ``<model>.ft-`` in the name of a fine-tuned model on Azure."""
_OTHER_THAN_TEXT: Final = re.compile(
    r"(^|-)(audio|image|live|realtime|sora|speech|transcribe|tts|video|whisper)(-|$)"
)
_SEARCHES: Final = re.compile(r"-search-(preview|api)(-|$)|deep-research")
_BEFORE_REGIONS: Final = re.compile(
    r"(ft:)?(chatgpt-|gpt-[1-4]|gpt-5(\.[0-3])?(-|$)|o[134](-|$)|text-embedding-)"
)


@lru_cache(1024)
def always_searches(model: str) -> bool:
    """Return whether the model searches the web in every call, which is billed in addition to tokens."""
    return _SEARCHES.search(model.lower()) is not None


def handles_more_than_text(model: str) -> bool:
    """Return whether the model bills audio, images or video at other prices than text."""
    return _OTHER_THAN_TEXT.search(model.lower()) is not None


def is_open_weight(model: str) -> bool:
    """Return whether the model's weights are open, so that every host of it sets its own price."""
    return model.lower().startswith("gpt-oss")


def bills_cache_writes(model: str) -> bool:
    """Return whether writing to the prompt cache costs more than other input: gpt-5.6 and later."""
    match = re.match(r"(?:ft:)?gpt-(\d+)(?:[.-](\d{1,2})(?!\d))?", model.lower())
    return match is not None and (int(match[1]), int(match[2] or 0)) >= (5, 6)


def has_regional_price(model: str) -> bool:
    """Return whether regional processing of the model costs more: all models since March 2026."""
    return _BEFORE_REGIONS.match(model.lower()) is None


def is_named(match: Any, model: str) -> bool:
    """Return whether the clause ``match`` of the list is for exactly ``model``, not for a similar name."""
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
