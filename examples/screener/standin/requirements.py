"""Find the requirements in a job description."""

import re

from .words import most_frequent

FEWEST, MOST = 4, 6

_BULLET = re.compile(r"^\s*(?:[-*•·–▪‣◦]|\d+[.)])\s+")
_CONTINUED = re.compile(r"\n(?:[ \t]+(?![-*•·–▪‣◦])|(?=[a-zß-ÿ]))")
_ASKING_HEADING = re.compile(
    r"\b(bring|have|requirements?|requires?|qualifications?|looking for|skills|profile|must|expect)\b",
    re.IGNORECASE,
)
_ASKING_LINE = re.compile(r"\b(experience|knowledge|skills|proficien|familiar|fluent)", re.IGNORECASE)
_PRAISE = re.compile(
    r"^(?:(?:strong|good|clear|solid|proven|deep|excellent)\s+|(?:experience|familiarity|knowledge)\s+(?:with|in|of)\s+)+",
    re.IGNORECASE,
)


def requirements(text: str) -> dict[str, str]:
    """Return four to six requirements, name and wording.

    First come the lines below a heading such as "What you bring", then other lines that speak of experience
    or skills, then the words used most often. A text without any words has none.
    """
    lines = _lines(text)
    found: dict[str, str] = {}
    for line in [*_below_asking_headings(lines), *filter(_ASKING_LINE.search, lines)]:
        wording = _BULLET.sub("", line)
        if 4 <= len(wording.split()) <= 45 and wording not in found.values():
            found.setdefault(_name(wording), wording)
    for word in most_frequent(text):
        if len(found) >= FEWEST:
            break
        found.setdefault(word.capitalize(), f"Has worked with {word}.")
    return dict(list(found.items())[:MOST])


def _lines(text: str) -> list[str]:
    """Return the lines that hold words, wrapped ones put back together."""
    lines = (line.strip() for line in _CONTINUED.sub(" ", text).splitlines())
    return [line for line in lines if re.search(r"\w", line)]


def _below_asking_headings(lines: list[str]) -> list[str]:
    asking, found = False, []
    for line in lines:
        if _is_heading(line):
            asking = bool(_ASKING_HEADING.search(line))
        elif asking:
            found.append(line)
    return found


def _is_heading(line: str) -> bool:
    return len(line.split()) <= 5 and line[-1] not in ".,;" and not _BULLET.match(line)


def _name(wording: str) -> str:
    """Return the first few words of a requirement, without praise: "API design"."""
    head = re.split(r"[,;:(.]", _PRAISE.sub("", wording))[0]
    name = " ".join(head.split()[:6]) or wording[:40]
    return name[0].upper() + name[1:]
