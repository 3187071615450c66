"""The calls to OpenAI: a synchronous assistant for the intake, an asynchronous one for analyses.

Both repeat a call after a transient failure (on top of the client's own retries) and fall back to a
harmless default when no answer can be obtained; `Tally` counts both. The clients read OPENAI_API_KEY and
OPENAI_BASE_URL themselves.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import NDArray
from openai import APIConnectionError, APIError, AsyncOpenAI, InternalServerError, OpenAI, RateLimitError
from openai.types.chat import ChatCompletionMessageParam
from openai.types.shared_params import ResponseFormatJSONObject

import telemetry

from . import prompts
from .config import Settings
from .prompts import Criterion, Rating

log = logging.getLogger(__name__)

Answer = TypeVar("Answer")
Vector = NDArray[np.float64]

PASSING = (APIConnectionError, InternalServerError, RateLimitError)
"""Transient failures, which are retried (a timeout is an APIConnectionError)."""
UNUSABLE = (APIError, ValueError, KeyError, TypeError)
"""No answer, or one that does not have the requested form."""
BATCH = 64
"""Texts sent with one embeddings call."""
JSON_OBJECT: ResponseFormatJSONObject = {"type": "json_object"}


@dataclass
class Tally:
    """Counts of retries and fallbacks."""

    retries: int = 0
    fallbacks: int = 0


class IntakeAssistant:
    """Reads job descriptions and résumés while they are uploaded."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.tally = Tally()
        self._client = OpenAI()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._client.close()

    def criteria(self, jd: str) -> list[Criterion]:
        """Return the criteria of a job description."""
        try:
            return prompts.read_criteria(self._ask(prompts.criteria_prompt(jd)))
        except UNUSABLE as error:
            _fall_back(self.tally, "criteria", error)
            return [prompts.OVERALL_FIT]

    def name(self, resume_head: str, default: str) -> str:
        """Return the candidate's name, from the first lines of a résumé."""
        try:
            return prompts.read_name(self._ask(prompts.name_prompt(resume_head)))
        except UNUSABLE as error:
            _fall_back(self.tally, "name", error)
            return default

    def _ask(self, messages: list[ChatCompletionMessageParam]) -> str:
        pauses = _pauses(self.settings)
        while True:
            try:
                completion = self._client.chat.completions.create(
                    model=self.settings.chat_model, messages=messages, response_format=JSON_OBJECT
                )
                return completion.choices[0].message.content or ""
            except PASSING as error:
                time.sleep(_next_pause(pauses, self.tally, error))


class AnalysisAssistant:
    """Embeds, rates and describes résumés concurrently. To be used within one event loop."""

    def __init__(self, settings: Settings, tally: Tally) -> None:
        self.settings = settings
        self.tally = tally
        self._client = AsyncOpenAI()
        self._slots = asyncio.Semaphore(settings.concurrency)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._client.close()

    async def embed(self, texts: Sequence[str]) -> Vector:
        """Return one vector per text, as rows."""
        batches = [texts[start : start + BATCH] for start in range(0, len(texts), BATCH)]
        rows = await asyncio.gather(*(self._retry(partial(self._embed, batch)) for batch in batches))
        return np.array([row for batch in rows for row in batch])

    async def rate(self, criterion: Criterion, resume: str) -> Rating:
        """Rate a résumé by a criterion; without an answer the score is 0, marked as a fallback."""
        try:
            return prompts.read_rating(await self._ask(prompts.rank_prompt(criterion, resume)))
        except Exception as error:  # one failed rating must not fail the whole analysis
            _fall_back(self.tally, "rank", error)
            return Rating(0.0, "No rating could be obtained.", fallback=True)

    async def insight(self, jd: str, resume: str) -> dict[str, Any] | None:
        """Return strengths, gaps and a summary; None without an answer."""
        try:
            return prompts.read_insight(await self._ask(prompts.insights_prompt(jd, resume)))
        except UNUSABLE as error:
            _fall_back(self.tally, "insights", error)
            return None

    async def _embed(self, texts: Sequence[str]) -> list[list[float]]:
        answer = await self._client.embeddings.create(model=self.settings.embedding_model, input=list(texts))
        return [item.embedding for item in answer.data]

    async def _ask(self, messages: list[ChatCompletionMessageParam]) -> str:
        return await self._retry(partial(self._complete, messages))

    async def _complete(self, messages: list[ChatCompletionMessageParam]) -> str:
        completion = await self._client.chat.completions.create(
            model=self.settings.chat_model, messages=messages, response_format=JSON_OBJECT
        )
        return completion.choices[0].message.content or ""

    async def _retry(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        pauses = _pauses(self.settings)
        while True:
            try:
                async with self._slots:
                    return await call()
            except PASSING as error:
                await asyncio.sleep(_next_pause(pauses, self.tally, error))


def _pauses(settings: Settings) -> Iterator[float]:
    return (settings.retry_pause * 2**n for n in range(settings.app_retries))


def _next_pause(pauses: Iterator[float], tally: Tally, error: APIError) -> float:
    """Return the seconds to wait before the next retry; raise the error when none is left."""
    pause = next(pauses, None)
    if pause is None:
        raise error
    tally.retries += 1
    telemetry.count("app_retries")
    return pause


def _fall_back(tally: Tally, task: str, error: Exception) -> None:
    tally.fallbacks += 1
    telemetry.count("fallbacks")
    telemetry.record_fallback(error)
    log.warning("no usable answer for %s, going on with a default (%s)", task, type(error).__name__)
