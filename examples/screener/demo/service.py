"""The OpenAI service that the demo calls: the stand-in, or the real one if OPENAI_API_KEY is set."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from .errors import DemoError

FAULTS: list[dict[str, Any]] = [
    # The client gives up after three attempts, and the application itself retries once.
    {"match": {"task": "criteria"}, "status": 503, "first_attempts": 3, "retry_after_ms": 20},
    {"match": {"path": "/embeddings"}, "status": 429, "first_total": 1, "retry_after_ms": 60},
    {"match": {"task": "insights"}, "status": 500, "first_total": 1, "retry_after_ms": 20},
    # Always the same call: which of several comes first would change the tokens from demo to demo.
    {"match": {"task": "rank", "contains": ["Bea Lund", "# Criterion\nContainers"]}, "bad_json": True},
    {"match": {"task": "rank"}, "status": 429, "rate": 0.06, "retry_after_ms": 40},
    {"match": {"task": "name"}, "status": 429, "rate": 0.04, "retry_after_ms": 20},
]
"""Faults of the stand-in, so that there are problems to report."""


@dataclass(frozen=True)
class Service:
    """An OpenAI service, and the size of the demo's analyses."""

    environment: dict[str, str] = field(default_factory=dict)
    """The OPENAI_… variables of the processes; empty for the stand-in, whose address is not known yet."""
    small: int = 8
    """Résumés of the analysis in the request."""
    large: int = 60
    """Résumés of the analysis in the worker."""
    request_limit: int = 20
    """Most résumés that are analysed in the request."""

    @property
    def is_standin(self) -> bool:
        """Whether it is the stand-in, which has a ledger."""
        return not self.environment

    @property
    def cost_hint(self) -> str:
        """A sentence about the cost of the demo; empty for the stand-in."""
        if self.is_standin:
            return ""
        where = self.environment.get("OPENAI_BASE_URL", "the service of OpenAI")
        return (
            f"OPENAI_API_KEY is set: {where} is called, with {self.small} and {self.large} résumés. "
            "This costs a few cents. Unset OPENAI_API_KEY for the local stand-in."
        )

    @classmethod
    def choose(cls, environ: Mapping[str, str] = os.environ) -> Service:
        """Choose the real service if it is configured, else the stand-in.

        Raises:
            DemoError: OPENAI_BASE_URL is set without a key.
        """
        if environ.get("OPENAI_API_KEY"):
            found = {name: value for name, value in environ.items() if name.startswith("OPENAI_")}
            return cls(found, small=6, large=12, request_limit=6)
        if environ.get("OPENAI_BASE_URL"):
            raise DemoError(
                "OPENAI_BASE_URL is set, but OPENAI_API_KEY is not. "
                "Set both for that service, or none for the local stand-in."
            )
        return cls()
