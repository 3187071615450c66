"""What the stand-in answers in a chat: plausible JSON for the screener's tasks, a short text otherwise.

The task is named by a line ``Task: <name>`` in the system message.
"""

import json
import re
from collections.abc import Callable
from typing import Any
from zlib import crc32

from .words import coverage, key_words, most_frequent

_SECTION = re.compile(r"^#+\s*(.+?)\s*$", re.MULTILINE)
_BULLET = re.compile(r"^\s*(?:[-*•·–▪‣◦]|\d+[.)])\s*")
_REQUIREMENT = re.compile(
    r"experience|years|knowledge|skill|proficien|familiar|understanding|expertise|ability|fluent",
    re.IGNORECASE,
)
_NAME = re.compile(r"[^\W\d_][^\W\d_'’.-]*(?:[-'’.][^\W\d_]*)*")
_NO_NAME = re.compile(
    r"\b(curriculum|vitae|r[ée]sum[ée]|cv|lebenslauf|profile?|summary|contact|page|experience|education|skills|"
    r"engineer|developer|manager|chef|designer|analyst|address|personal|details|objective)\b",
    re.IGNORECASE,
)


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
    """Four to six criteria: the lines that ask for something, then the most frequent words."""
    lines = _unwrapped(text)
    asking = [line for line in lines if _BULLET.match(line) and _REQUIREMENT.search(line)]
    asking += [line for line in lines if line not in asking and _REQUIREMENT.search(line)]
    found: dict[str, str] = {}
    for line in asking:
        description = _BULLET.sub("", line).strip()
        if 4 <= len(description.split()) <= 45:
            found.setdefault(_title(description), description)
    for word in most_frequent(text):
        if len(found) >= 4:
            break
        found.setdefault(word.capitalize(), f"Has worked with {word}.")
    return {"criteria": [{"name": name, "description": why} for name, why in list(found.items())[:6]]}


def _name(text: str) -> dict[str, Any]:
    """Name the person after the first line that looks like a name."""
    for line in text.splitlines():
        words = re.sub(r"^\s*(?:full )?name\s*:", "", line, flags=re.IGNORECASE).split()
        if 2 <= len(words) <= 4 and not _NO_NAME.search(line) and all(map(_could_be_a_name, words)):
            return {
                "name": " ".join(word.title() if word.isupper() and len(word) > 2 else word for word in words)
            }
    return {"name": "Unknown Candidate"}


def _rank(text: str) -> dict[str, Any]:
    """Score a résumé by how much of the criterion's vocabulary it covers."""
    sections = _sections(text)
    criterion = next((body for title, body in sections if title.startswith("criteri")), sections[0][1])
    resume = next((body for title, body in sections if _is_resume(title)), sections[-1][1])
    share = coverage(criterion, resume)
    nudge = crc32(text.encode()) % 9 - 4
    score = round(min(98, max(3, 8 + 90 * share + nudge)))
    return {"score": score, "reason": f"The résumé covers {share:.0%} of what the criterion names."}


def _insights(text: str) -> dict[str, Any]:
    """Compare a résumé with the words a job description uses most."""
    sections = _sections(text)
    resume = "\n".join(body for title, body in sections if _is_resume(title)) or sections[0][1]
    wanted = "\n".join(body for title, body in sections if not _is_resume(title)) or sections[-1][1]
    topics = [word for word in most_frequent(wanted) if len(word) > 3][:12]
    present = [word for word in topics if coverage(word, resume)]
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


def _unwrapped(text: str) -> list[str]:
    """Return the lines of a text, with those that go on in small letters put back together."""
    return [line.strip() for line in re.sub(r"\n(?=\s*[a-zß-ÿ])", " ", text).splitlines() if line.strip()]


def _title(description: str) -> str:
    return " ".join(key_words(description)[:3]).title() or description[:40]


def _could_be_a_name(word: str) -> bool:
    return word[0].isupper() and _NAME.fullmatch(word.rstrip(",")) is not None


def _sections(text: str) -> list[tuple[str, str]]:
    """Return (title in lower case, body) for each part under a ``# Title`` line; one part without any."""
    parts = _SECTION.split(text)
    found = [(title.lower(), body) for title, body in zip(parts[1::2], parts[2::2], strict=True)]
    return found or [("", text)]


def _is_resume(title: str) -> bool:
    return title.startswith(("résumé", "resume", "candidate", "cv"))
