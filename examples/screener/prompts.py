"""The prompts for the chat model, and the parsing of its answers."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

from openai.types.chat import ChatCompletionMessageParam

JSON_ONLY = "Answer with one JSON object and nothing else."


@dataclass(frozen=True)
class Criterion:
    """A requirement of the job."""

    name: str
    description: str


@dataclass(frozen=True)
class Rating:
    """The score of one résumé by one criterion."""

    score: float
    """0 (not at all) to 100 (fully)."""
    reason: str
    fallback: bool = False
    """Whether no rating could be obtained, so that the score has no meaning."""


OVERALL_FIT = Criterion("Overall fit", "How well the résumé fits the job description as a whole.")
"""The fallback when no criteria could be obtained."""


def criteria_prompt(jd: str) -> list[ChatCompletionMessageParam]:
    return _prompt(
        "criteria",
        "Find the four to six criteria by which candidates for this job should be judged. "
        'The object is {"criteria": [{"name": …, "description": …}, …]}.',
        jd,
    )


def name_prompt(resume_head: str) -> list[ChatCompletionMessageParam]:
    return _prompt(
        "name", 'Whose résumé is this? The object is {"name": "First Last"}; "" if unknown.', resume_head
    )


def rank_prompt(criterion: Criterion, resume: str) -> list[ChatCompletionMessageParam]:
    return _prompt(
        "rank",
        "Judge how well the résumé meets the criterion, by evidence only. "
        'The object is {"score": 0 to 100, "reason": one sentence}.',
        # The résumé comes first: its calls then share a beginning, which OpenAI caches and bills at less.
        f"# Résumé\n{resume}\n\n# Criterion\n{criterion.name}: {criterion.description}",
    )


def insights_prompt(jd: str, resume: str) -> list[ChatCompletionMessageParam]:
    return _prompt(
        "insights",
        "Say what speaks for and against this candidate for this job. "
        'The object is {"strengths": [lines], "gaps": [lines], "summary": two sentences}.',
        f"# Job description\n{jd}\n\n# Résumé\n{resume}",
    )


def read_criteria(answer: str) -> list[Criterion]:
    found = [
        Criterion(str(item["name"])[:120], str(item.get("description", "")))
        for item in _read(answer)["criteria"]
    ]
    if not found:
        raise ValueError("the answer lists no criteria")
    return found


def read_name(answer: str) -> str:
    name = " ".join(str(_read(answer)["name"]).split())
    if not name:
        raise ValueError("the answer holds no name")
    return name[:255]


def read_rating(answer: str) -> Rating:
    found = _read(answer)
    return Rating(min(max(float(found["score"]), 0.0), 100.0), str(found.get("reason", "")))


def read_insight(answer: str) -> dict[str, Any]:
    found = _read(answer)
    return {
        "strengths": [str(line) for line in found["strengths"]],
        "gaps": [str(line) for line in found["gaps"]],
        "summary": str(found["summary"]),
    }


def _prompt(task: str, instructions: str, content: str) -> list[ChatCompletionMessageParam]:
    return [
        {"role": "system", "content": f"Task: {task}\n{instructions} {JSON_ONLY}"},
        {"role": "user", "content": content},
    ]


def _read(answer: str) -> dict[str, Any]:
    """Return the object in an answer, which models may wrap in a code fence or a sentence."""
    match = re.search(r"\{.*\}", answer, re.DOTALL)
    found = json.loads(match.group() if match else answer)
    if not isinstance(found, dict):
        raise ValueError("the answer is no JSON object")
    return found
