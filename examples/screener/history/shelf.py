"""The résumés of a history, and how well their candidates fit."""

from __future__ import annotations

import math
from random import Random
from typing import Final, NamedTuple

LARGEST_JOB: Final = 400
FILES: Final = 3989
FITS: Final = 4001
"""Another number than of files: the same résumé fits one job better than another."""
TYPES: Final = ("pdf", "docx", "txt", "rtf")
SHARES: Final = (70, 22, 6, 2)
LENGTHS: Final = {"pdf": (8.1, 0.5), "docx": (8.0, 0.45), "txt": (7.6, 0.5), "rtf": (7.9, 0.4)}
"""Mean and deviation of the logarithm of the number of characters."""
BYTES_A_CHARACTER: Final = {"pdf": (5, 60), "docx": (3, 20), "txt": (1, 1.1), "rtf": (3, 8)}
OVERHEAD: Final = {"pdf": 20_000, "docx": 9_000, "txt": 0, "rtf": 1_500}
SCANS: Final = 0.012
"""Share of the PDF files that are pictures with next to no text."""
MEAN_FIT: Final = 5 / 8


class File(NamedTuple):
    """A résumé."""

    type: str
    size: int
    characters: int | None
    """None if it cannot be read."""
    extraction_us: int


class Shelf:
    """The résumés that jobs take from: candidates apply more than once."""

    def __init__(self, seed: int) -> None:
        chance = Random(f"{seed} résumés")
        files = [_file(chance) for _ in range(FILES)]
        fits = [chance.betavariate(5, 3) for _ in range(FITS)]
        self._files = files + files[:LARGEST_JOB]
        self._fits = fits + fits[:LARGEST_JOB]

    def files(self, count: int, chance: Random) -> list[File]:
        """Return so many résumés."""
        start = chance.randrange(FILES)
        return self._files[start : start + count]

    def scores(self, count: int, middle: float, chance: Random) -> list[float]:
        """Return so many scores, which are beta-distributed, a power of them, around a middle."""
        start = chance.randrange(FITS)
        power = math.log(middle) / math.log(MEAN_FIT)
        return [round(fit**power, 4) for fit in self._fits[start : start + count]]


def _file(chance: Random) -> File:
    kind = chance.choices(TYPES, SHARES)[0]
    if kind == "pdf" and chance.random() < SCANS:
        characters, size = chance.randint(12, 240), int(chance.lognormvariate(13.6, 0.4))
    else:
        characters = min(int(chance.lognormvariate(*LENGTHS[kind])), 30_000)
        size = OVERHEAD[kind] + int(characters * chance.uniform(*BYTES_A_CHARACTER[kind]))
    return File(kind, size, characters, 4_000 + int(size * chance.uniform(0.5, 1.2)))
