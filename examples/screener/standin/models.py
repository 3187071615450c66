"""The models that the stand-in knows by name."""

import re
from collections.abc import Sequence

_DATES = {
    "gpt-3.5-turbo": "0125",
    "gpt-4o": "2024-08-06",
    "gpt-4o-mini": "2024-07-18",
    "gpt-4.1": "2025-04-14",
    "gpt-4.1-mini": "2025-04-14",
    "gpt-4.1-nano": "2025-04-14",
    "gpt-5": "2025-08-07",
    "gpt-5-mini": "2025-08-07",
    "gpt-5-nano": "2025-08-07",
    "o1": "2024-12-17",
    "o3": "2025-04-16",
    "o3-mini": "2025-01-31",
    "o4-mini": "2025-04-16",
}
_DIMENSIONS = {"text-embedding-3-small": 1536, "text-embedding-3-large": 3072}
MODELS = frozenset(_DATES) | frozenset(_DIMENSIONS)
"""The models known by name; any other name is accepted as well."""
_CACHING = re.compile(r"gpt-4o|gpt-4\.1|gpt-[5-9]|o\d")
_BILLING_WRITES = re.compile(r"gpt-5\.[6-9]|gpt-[6-9]")
_REASONING = re.compile(r"gpt-[5-9]|o\d")
REASONING_STEP = 64


def dated(model: str) -> str:
    """Return the id that an answer names, such as ``gpt-4o-mini-2024-07-18`` for ``gpt-4o-mini``."""
    return f"{model}-{_DATES[model]}" if model in _DATES else model


def dimensions(model: str) -> int:
    """Return the full length of a model's embeddings."""
    return _DIMENSIONS.get(model, 1536)


def caches_prompts(model: str) -> bool:
    """Return whether the service caches prompt prefixes for this model."""
    return bool(_CACHING.match(model))


def bills_cache_writes(model: str) -> bool:
    """Return whether the service counts, and bills, writes to the prompt cache for this model."""
    return bool(_BILLING_WRITES.match(model))


def reasoning_tokens(model: str, prompt: Sequence[str]) -> int:
    """Return the hidden tokens a reasoning model spends on a prompt: 64 to 320, by the prompt's length."""
    return REASONING_STEP * (1 + len(prompt) % 5) if _REASONING.match(model) else 0
