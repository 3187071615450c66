"""Embeddings of hashed words and letter triples, so that similar texts have similar vectors."""

import math
import re
from collections import Counter
from functools import lru_cache
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from .words import COMMON_WORDS

Vector = NDArray[np.float64]
_TRIPLE_WEIGHT = 0.35


def embed(text: str, full: int, wanted: int | None = None) -> Vector:
    """Return the unit vector of a text.

    Args:
        text: The text.
        full: Length of the model's vectors.
        wanted: Length to shorten the vector to, as the service's ``dimensions`` does.
    """
    vector = np.zeros(full)
    for word, count in Counter(re.findall(r"\w+", text.lower())).items():
        positions, weights = _features(word, full)
        np.add.at(vector, positions, weights * (1 + math.log(count)))
    if not vector.any():
        vector[crc32(text.encode()) % full] = 1.0
    shortened = vector[:wanted]
    return shortened / (np.linalg.norm(shortened) or 1.0)


@lru_cache(maxsize=50_000)
def _features(word: str, full: int) -> tuple[NDArray[np.intp], Vector]:
    """Return where a word and its letter triples stand in the vector, and their signed weights."""
    if word in COMMON_WORDS:
        return np.zeros(0, np.intp), np.zeros(0)
    triples = [f"{word[at : at + 3]}~" for at in range(len(word) - 2)]
    hashes = [crc32(feature.encode()) for feature in (word, *triples)]
    positions = np.array([each % full for each in hashes], np.intp)
    signs = np.array([1.0 if each >> 31 else -1.0 for each in hashes])
    signs[1:] *= _TRIPLE_WEIGHT
    return positions, signs
