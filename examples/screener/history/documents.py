"""The documents of a job, and what happened on the way to it."""

from __future__ import annotations

import hashlib
from random import Random
from typing import Final

from .rows import ERRORS, Row

FILE_TYPES: Final = ("pdf", "docx", "txt", "rtf")
FILE_SHARES: Final = (70, 22, 6, 2)
ACTIONS: Final = ("continued", "continued", "abandoned", "reduced_batch")


class Documents:
    """Makes the rows of documents, of retries and of warnings."""

    def __init__(self, chance: Random) -> None:
        self._random = chance

    def row(self, run: Row, done: int, place: int) -> Row:
        """Return a document; those before ``done`` are scored."""
        chance = self._random
        kind = chance.choices(FILE_TYPES, FILE_SHARES)[0]
        characters = min(int(chance.lognormvariate(8.1, 0.5)), 60_000)
        size = int(characters * chance.uniform(2, 60) + (20_000 if kind == "pdf" else 8_000))
        is_scored = place < done
        return {
            "run_id": run["run_id"],
            "document_key": hashlib.blake2b(f"{run['run_id']} {place}".encode(), digest_size=16).hexdigest(),
            "ordinal": 0,
            "size_bytes": size,
            "characters": characters if is_scored or chance.random() < 0.7 else None,
            "type": kind,
            "extraction_us": int(size * chance.uniform(0.5, 3)),
            "analysis_us": int(characters * chance.uniform(150, 600)) if is_scored else None,
            "chunk_count": 1 + characters // 4000,
            "score": round(chance.betavariate(5, 3), 4) if is_scored else None,
            "outcome": "scored" if is_scored else "failed" if run["status"] != "completed" else "unscored",
            "error_type": None if is_scored else chance.choice(ERRORS),
            "fallback": False,
        }

    def counters(self, run: Row, is_troubled: bool) -> list[Row]:
        """Return how often the application tried again."""
        retries = self._random.randint(0, 9) if is_troubled else int(self._random.random() < 0.05)
        return [{"run_id": run["run_id"], "name": "app_retries", "value": retries}] if retries else []

    def warning(self, run: Row) -> Row | None:
        """Return the warning that the user saw, if any."""
        chance = self._random
        kind = "batch_too_large" if run["exceeded_resume_limit"] else "resume_too_long"
        if kind == "resume_too_long" and chance.random() > 0.06:
            return None
        return {
            "analysis_id": run["analysis_ref"],
            "user_id": run["user_ref"],
            "warning_type": kind,
            "warning_shown_at": run["started_at"],
            "user_action": "override" if run["user_chose_override"] else chance.choice(ACTIONS),
            "document_count": run["candidates"],
        }
