"""Differences of Azure: paths with deployments and a version, the key's header, the content filter.

A deployment serves the model its name ends with, so ``screener-gpt-4o-mini`` serves ``gpt-4o-mini``; any
other name is taken for a model of its own.
"""

from typing import Any

from flask import Request

from .errors import ApiError
from .models import MODELS

_CALM = {
    kind: {"filtered": False, "severity": "safe"} for kind in ("hate", "self_harm", "sexual", "violence")
}
PROMPT_FILTER = {"prompt_filter_results": [{"prompt_index": 0, "content_filter_results": _CALM}]}
"""The filter results of the prompt; in a stream they are in a first chunk without choices."""
CONTENT_FILTER = {"content_filter_results": _CALM}
"""The filter results of each choice."""
FIRST_CHUNK: dict[str, Any] = {"choices": [], "created": 0, "id": "", "model": "", "object": ""}


def is_azure(path: str) -> bool:
    """Return whether a path is one of Azure's."""
    return path.startswith("/openai/")


def secret(request: Request) -> str:
    """Return the key a request was sent with; Azure takes it from ``api-key`` as well."""
    key = request.headers.get("api-key", "") if is_azure(request.path) else ""
    return key or request.headers.get("Authorization", "").removeprefix("Bearer ").strip()


def check_version(request: Request) -> None:
    """Refuse a request to one of the paths that need ``?api-version=`` when it has none.

    Raises:
        ApiError: 404, as Azure answers.
    """
    versioned = is_azure(request.path) and not request.path.startswith("/openai/v1/")
    if versioned and not request.args.get("api-version"):
        raise ApiError(404, "Resource not found: the request has no api-version.", code="404")


def served_model(deployment: str) -> str:
    """Return the model behind a deployment."""
    fitting = [model for model in MODELS if f"-{deployment}".endswith(f"-{model}")]
    return max(fitting, key=len, default=deployment)
