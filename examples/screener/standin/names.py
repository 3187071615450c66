"""Finding the name at the head of a résumé."""

import re

_LABEL = re.compile(r"^\s*(?:full )?name\s*:", re.IGNORECASE)
_ASIDE = re.compile(r"\(.*?\)|\ufeff|[/|·].*")
_WORD = re.compile(r"[^\W\d_]+(?:[-'’.][^\W\d_]*)*")
_PARTICLES = frozenset("al bin da de del den der di dos du el la le ní ten van von y".split())
_NO_NAME = re.compile(
    r"\b(curriculum|vitae|r[ée]sum[ée]|cv|lebenslauf|profile?|summary|contact|page|experience|education|skills|"
    r"engineer|developer|manager|chef|designer|analyst|address|personal|details|objective|portfolio)\b",
    re.IGNORECASE,
)


def first_name_line(text: str) -> str | None:
    """Return the name in the first line that looks like one: two to five capitalised words and no comma."""
    for line in text.splitlines():
        words = _ASIDE.sub("", _LABEL.sub("", line)).split()
        if 2 <= len(words) <= 5 and not _NO_NAME.search(line) and _all_could_be_names(words):
            name = " ".join(words)
            return name.title() if name.isupper() else name
    return None


def _all_could_be_names(words: list[str]) -> bool:
    first_and_last = (words[0], words[-1])
    return all(each[0].isupper() for each in first_and_last) and all(
        _WORD.fullmatch(each) and (each[0].isupper() or each in _PARTICLES) for each in words
    )
