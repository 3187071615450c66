"""The stand-in's tokeniser: simple, documented, and the same in every process.

A word of up to six letters or digits is one token, a longer one is cut into pieces of four, and every other
visible character is a token of its own. English prose comes to about 1.4 tokens a word, near the real thing.
"""

import re

_TOKEN = re.compile(r"\b\w{1,6}\b|\w{1,4}|[^\w\s]")


def tokenize(text: str) -> list[str]:
    """Return the tokens of a text, in order."""
    return _TOKEN.findall(text)


def pieces(text: str, size: int = 1) -> list[str]:
    """Cut a text after every ``size`` tokens; the pieces joined are the text."""
    ends = [match.end() for match in _TOKEN.finditer(text)][size - 1 : -1 : size]
    return [text[start:end] for start, end in zip([0, *ends], [*ends, len(text)], strict=True)]


def truncate(text: str, limit: int) -> str:
    """Return the text up to and including its token number ``limit``."""
    return "".join(pieces(text)[:limit]) if limit > 0 else ""
