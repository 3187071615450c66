"""The stand-in's answers in a chat: plausible JSON for the screener's tasks, else a short text.

The task is named by a line ``Task: <name>`` in the system message.
"""

import json
import math
import re
from collections.abc import Callable
from typing import Any
from zlib import crc32

from .names import first_name_line
from .requirements import requirements
from .words import coverage, most_frequent

_SECTION = re.compile(r"^# (Criterion|Résumé|Resume|Job description|JD)\s*$", re.MULTILINE | re.IGNORECASE)


def reply(task: str, text: str, *, want_json: bool = False) -> str:
    """Return the content of a chat answer.

    Args:
        task: Name of the task; a name without an entry here gets a short text.
        text: The user's message.
        want_json: Wrap the short text in a JSON object.
    """
    if task in _TASKS:
        return json.dumps(_TASKS[task](text), ensure_ascii=False)
    topics = ", ".join(most_frequent(text)[:3]) or "nothing in particular"
    words = f"This is about {topics}."
    return json.dumps({"answer": words}) if want_json else words


def _criteria(text: str) -> dict[str, Any]:
    return {"criteria": [{"name": name, "description": why} for name, why in requirements(text).items()]}


def _name(text: str) -> dict[str, Any]:
    return {"name": first_name_line(text) or "Unknown Candidate"}


def _rank(text: str) -> dict[str, Any]:
    """Score a résumé by the share of the criterion's vocabulary that it covers."""
    sections = _sections(text)
    share = coverage(sections["other"], sections["resume"])
    nudge = crc32(text.encode()) % 7 - 3
    score = round(min(98, max(2, 2 + 98 * (1 - math.exp(-3.5 * share)) + nudge)))
    return {"score": score, "reason": f"The résumé covers {share:.0%} of what the criterion names."}


def _insights(text: str) -> dict[str, Any]:
    """Compare a résumé with the words a job description's requirements use most."""
    sections = _sections(text)
    asked = " ".join(requirements(sections["other"]).values())
    topics = [word for word in most_frequent(asked) if len(word) > 3][:12]
    present = [word for word in topics if coverage(word, sections["resume"])]
    missing = [word for word in topics if word not in present]
    return {
        "strengths": [f"Shows experience with {word}." for word in present[:3]],
        "gaps": [f"Says little about {word}." for word in missing[:3]],
        "summary": f"Covers {len(present)} of the {len(topics)} main topics of the job description.",
    }


_TASKS: dict[str, Callable[[str], dict[str, Any]]] = {
    "criteria": _criteria,
    "name": _name,
    "rank": _rank,
    "insights": _insights,
}


def _sections(text: str) -> dict[str, str]:
    """Return the text below ``# Résumé``, and the text to compare it with; without headings, all twice."""
    _, *parts = _SECTION.split(text)
    pairs = zip(parts[::2], parts[1::2], strict=True)
    sections = {"resume" if title[0] in "Rr" else "other": body for title, body in pairs}
    return {"resume": text, "other": text, **sections}
