"""A stand-in for the OpenAI instrumentations of other tools: a span with the usage around each call."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import wrapt
from openai.resources import Embeddings
from openai.resources.chat import AsyncCompletions, Completions
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

SCOPE = "opentelemetry.instrumentation.openai"
"""The scope of an instrumentation that is widely used."""
METHODS = ((Completions, "create"), (AsyncCompletions, "create"), (Embeddings, "create"))


@contextmanager
def installed(provider: TracerProvider) -> Iterator[None]:
    """Wrap the methods within the block, around wrappers that they have already."""
    tracer = provider.get_tracer(SCOPE)
    before = {(owner, name): vars(owner)[name] for owner, name in METHODS}
    for (owner, name), method in before.items():
        around = _around_async if owner is AsyncCompletions else _around
        setattr(owner, name, wrapt.FunctionWrapper(method, around(tracer)))
    try:
        yield
    finally:
        for (owner, name), method in before.items():
            setattr(owner, name, method)


def _around(tracer: Tracer) -> Callable[..., Any]:
    def wrapper(wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
        with tracer.start_as_current_span("openai", attributes=_request(kwargs)) as span:
            answer = wrapped(*args, **kwargs)
            span.set_attributes(_usage(answer))
            return answer

    return wrapper


def _around_async(tracer: Tracer) -> Callable[..., Any]:
    async def wrapper(wrapped: Callable[..., Any], _: Any, args: Any, kwargs: Any) -> Any:
        with tracer.start_as_current_span("openai", attributes=_request(kwargs)) as span:
            answer = await wrapped(*args, **kwargs)
            span.set_attributes(_usage(answer))
            return answer

    return wrapper


def _request(body: dict[str, Any]) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "chat" if "messages" in body else "embeddings",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": body["model"],
    }


def _usage(answer: Any) -> dict[str, Any]:
    usage = getattr(answer, "usage", None)
    if usage is None:
        return {}
    return {
        "gen_ai.response.model": answer.model,
        "gen_ai.usage.input_tokens": usage.prompt_tokens,
        "gen_ai.usage.output_tokens": usage.total_tokens - usage.prompt_tokens,
    }
