"""Any number of invented résumés, combined from parts of the committed ones."""

import random
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from typing import TypeVar

from .resume import Entry, Resume, Section, load_people

Piece = TypeVar("Piece")

FIRST = """Aiko Alejandro Anneke Bashir Beatriz Björn Chiara Chukwu Dalia Dmitri Eilidh Emre Farida Gwen Hamid
Ilse Ivana Joaquín Kofi Leila Léa Mateus Maëlle Nils Noor Oksana Pedro Quentin Rania Sanjay Søren
Thandiwe Tuula Ulrika Viktor Wanjiru Xiomara Yara Zsófia Zuri""".split()
LAST = """Abara Almqvist Barros Bianchi Castillo Dlamini Eriksen Farouk García Haddad Ibrahim Jansen Kowalczyk
Kumar Lefebvre Li Mbeki Müller Nakamura Novák Ó-Dálaigh Okonjo Papadakis Quispe Rossi Sato Schäfer
Tanaka Ünal Vasquez Weiss Yilmaz Zhang Østby""".split()
CITIES = (
    "Accra Bergen Bilbao Brno Dakar Dublin Ghent Graz Leipzig Malmö Nantes Porto Quito Riga Tampere".split()
)
TYPES = "txt txt docx txt txt pdf txt docx txt txt".split()
"""File types of ten résumés in a row: 70 % text, 20 % Word, 10 % PDF."""

LAYOUTS = {
    "txt": ("plain", "dense", "windows"),
    "docx": ("headings", "table", "columns"),
    "pdf": ("classic", "table", "compact", "unicode"),
}


def generate(n: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """Yield `n` different résumés as (file name, content), the same ones for the same `seed`.

    Every candidate has parts of one committed person's career and perhaps a position of another's, so the fit
    to the job description varies as widely. A longer series starts with the shorter one.
    """
    from .make_samples import document_bytes  # needs the libraries that write PDF and Word files

    for number in range(1, n + 1):
        resume = _candidate(number, random.Random(f"{seed}/{number}"))
        yield resume.file, document_bytes(resume)


def _candidate(number: int, chance: random.Random) -> Resume:
    kind = TYPES[(number - 1) % len(TYPES)]
    first, last = chance.choice(FIRST), chance.choice(LAST)
    main, other = chance.sample(_careers(latin_only=kind == "pdf"), 2)
    address = f"candidate.{number}@example.{chance.choice(('com', 'org'))}"
    return Resume(
        name=f"{first} {last}",
        headline=main.headline,
        contact=(chance.choice(CITIES), address, f"+1 202 555 01{chance.randrange(100):02}"),
        sections=tuple(_section(section, other, chance) for section in main.sections),
        file=f"{number:04}-{first}-{last}.{kind}".lower(),
        layout=chance.choice(LAYOUTS[kind]),
    )


@cache
def _careers(latin_only: bool) -> list[Resume]:
    """Return the committed people with a career to build on; most PDF layouts have western letters only."""
    people = [person for person in load_people() if _entries(person)]
    return [person for person in people if _is_latin(person)] if latin_only else people


def _is_latin(person: Resume) -> bool:
    try:
        repr(person).encode("cp1252")
    except UnicodeEncodeError:
        return False
    return True


def _entries(person: Resume) -> list[Entry]:
    return [entry for section in person.sections for entry in section.entries]


def _section(section: Section, other: Resume, chance: random.Random) -> Section:
    """Return the section with some of its bullets, or with some positions and perhaps one of `other`."""
    if not section.entries:
        return replace(section, bullets=_some(section.bullets, chance))
    pool = (*section.entries, chance.choice(_entries(other)))
    chosen = [replace(entry, bullets=_some(entry.bullets, chance)) for entry in _some(pool, chance)]
    return replace(section, entries=tuple(chosen))


def _some(pool: tuple[Piece, ...], chance: random.Random) -> tuple[Piece, ...]:
    """Return at least one item of the pool, in order; none of an empty pool."""
    kept = sorted(chance.sample(range(len(pool)), chance.randint(min(1, len(pool)), len(pool))))
    return tuple(pool[index] for index in kept)
