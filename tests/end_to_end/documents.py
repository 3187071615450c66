"""The documents that tests submit; their canaries must never leave the application."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import PurePath

from tests.screener.makers import damaged_pdf, pdf, word

File = tuple[str, bytes]

JD: File = (
    "Stellenbeschreibung-Quokka.txt",
    b"""Senior Backend Engineer

We look for a backend engineer who builds reliable services in Python.

What you bring
- Python: many years of Python in production, Flask or Django, testing with pytest.
- PostgreSQL: relational modelling, query plans, migrations of large tables.
- Distributed systems: message queues such as Kafka, idempotent consumers, caching.
- Operations: Docker, Kubernetes, monitoring, on-call and incident response.
""",
)
"""A job description with four criteria. Its file name is a canary."""

SKILLS = (
    "Python in production with Flask, Django and pytest testing",
    "PostgreSQL relational modelling, query plans and migrations of large tables",
    "Distributed systems with message queues, Kafka, idempotent consumers and caching",
    "Operations with Docker, Kubernetes, monitoring, on-call and incident response",
)
SURNAMES = ("Xanthopoulos", "Wyrzykowski", "Quillfeather", "Zubizarreta", "Vandersloot", "Oyelaran")
CANARIES = (*SURNAMES, "quokka", "wombat.example", "+44 20 7946", "Numbat Street", "Screener-Canary-Query")
"""Parts of the file names, addresses, telephone numbers, names and texts; they occur nowhere else."""


@dataclass(frozen=True)
class Resume:
    """A résumé, its file and its text."""

    name: str
    data: bytes
    text: str

    @property
    def file(self) -> File:
        return self.name, self.data

    @property
    def type(self) -> str:
        return PurePath(self.name).suffix.lstrip(".")


@cache
def resume(number: int, kind: str = "txt") -> Resume:
    """Return the résumé with a number, which has `number % 5` skills; its bytes are always the same."""
    surname = SURNAMES[number % len(SURNAMES)]
    lines = [
        f"Ada {surname}",
        f"ada.{number}@wombat.example",
        f"+44 20 7946 {number:04}",
        f"{number} Numbat Street",
        *SKILLS[: number % 5],
        f"Reference {number}",
    ]
    text = "\n".join(lines)
    return Resume(f"{surname}-{number}.{kind}", MAKERS[kind](text), text)


def resumes(count: int, start: int = 1) -> list[Resume]:
    """Return résumés of all types."""
    return [resume(number, KINDS[number % len(KINDS)]) for number in range(start, start + count)]


def leaks(text: str) -> list[str]:
    """Return the canaries in a text."""
    return [canary for canary in CANARIES if canary.lower() in text.lower()]


def damaged(name: str = "Quillfeather-damaged.pdf") -> File:
    """Return a file that cannot be read."""
    return name, damaged_pdf()


KINDS = ("pdf", "docx", "txt")
MAKERS: dict[str, Callable[[str], bytes]] = {"pdf": pdf, "docx": word, "txt": str.encode}
