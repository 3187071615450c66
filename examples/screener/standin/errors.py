"""Errors with the messages and the structure of the OpenAI service."""

from typing import Any

from pydantic import ValidationError


class ApiError(Exception):
    """An answer with an error body.

    Attributes:
        status: HTTP status.
        body: The JSON body, with ``error.message``, ``.type``, ``.param`` and ``.code``.
    """

    def __init__(
        self,
        status: int,
        message: str,
        *,
        kind: str = "invalid_request_error",
        param: str | None = None,
        code: str | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.body: dict[str, Any] = {
            "error": {"message": message, "type": kind, "param": param, "code": code}
        }


def invalid(error: ValidationError) -> ApiError:
    """Return the service's 400 for the first problem of a request."""
    first = error.errors()[0]
    param = ".".join(str(part) for part in first["loc"]) or None
    return ApiError(400, f"Invalid request: '{param or 'body'}': {first['msg']}.", param=param)


def injected(status: int, model: str, wait: str | None, code: str | None = None) -> ApiError:
    """Return the error of a fault rule.

    Args:
        status: HTTP status, 400 to 599.
        model: The requested model, named in rate limit messages.
        wait: The wait before a retry, such as ``20ms``; only rate limit messages mention it.
        code: The code of the error instead of the usual one, such as ``insufficient_quota``.
    """
    if code is not None:
        return ApiError(status, f"The stand-in was told to answer {code}.", kind=code, code=code)
    if status == 429:
        advice = f" Please try again in {wait}." if wait else ""
        message = (
            f"Rate limit reached for {model} in organization org-standin on requests per min (RPM).{advice}"
        )
        return ApiError(429, message, kind="requests", code="rate_limit_exceeded")
    if status >= 500:
        message = "The server had an error while processing your request. Sorry about that!"
        return ApiError(status, message, kind="server_error")
    kinds = {
        401: ("invalid_request_error", "invalid_api_key"),
        404: ("invalid_request_error", "model_not_found"),
    }
    kind, code = kinds.get(status, ("invalid_request_error", None))
    return ApiError(status, f"The stand-in was told to answer {status}.", kind=kind, code=code)
