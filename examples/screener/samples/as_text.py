"""Résumés as plain text."""

import textwrap
from collections.abc import Iterator

from .resume import Entry, Resume, Section


def text_bytes(resume: Resume) -> bytes:
    """Return the résumé in UTF-8, laid out ``plain``, ``dense`` (narrow) or ``windows`` (BOM and CRLF)."""
    width = 64 if resume.layout == "dense" else 92
    lines = [resume.name.upper(), resume.headline, " | ".join(resume.contact)]
    for section in resume.sections:
        lines += ["", *_title(section.title, resume.layout), *_body(section, width, resume.layout == "dense")]
    text = "\n".join(lines) + "\n"
    if resume.layout == "windows":
        return text.replace("\n", "\r\n").encode("utf-8-sig")
    return text.encode()


def _title(title: str, layout: str) -> list[str]:
    return [f"== {title} =="] if layout == "dense" else [title, "-" * len(title)]


def _body(section: Section, width: int, dense: bool) -> Iterator[str]:
    yield from textwrap.wrap(section.text, width)
    for left, right in section.rows:
        yield from textwrap.wrap(f"{left + ':':<16}{right}", width, subsequent_indent=" " * 16)
    for entry in section.entries:
        yield from _entry(entry, width, dense)
    yield from _bullets(section.bullets, width)


def _entry(entry: Entry, width: int, dense: bool) -> Iterator[str]:
    yield f"{entry.heading} ({entry.when})" if entry.when else entry.heading
    yield from textwrap.wrap(entry.text, width)
    if dense:
        yield from textwrap.wrap(" ".join(entry.bullets), width)
    else:
        yield from _bullets(entry.bullets, width)


def _bullets(bullets: tuple[str, ...], width: int) -> Iterator[str]:
    for bullet in bullets:
        yield from textwrap.wrap(bullet, width, initial_indent="* ", subsequent_indent="  ")
