"""The rows of the documents of a job, and what happened on the way to it."""

from __future__ import annotations

import hashlib
from random import Random
from typing import Final

from telemetry.conventions import ABANDONED, BATCH_TOO_LARGE, CONTINUED, FAILED, SCORED, UNSCORED

from .outcome import Outcome
from .rows import Row

ACTIONS: Final = (CONTINUED, CONTINUED, ABANDONED, "reduced_batch")


class Documents:
    """Makes the rows of documents, of retries and of warnings."""

    def __init__(self, chance: Random) -> None:
        self._random = chance

    def rows(self, run: Row, outcome: Outcome) -> list[Row]:
        """Return a row for each document."""
        return [self._row(run, outcome, place) for place in range(len(outcome.files))]

    def _row(self, run: Row, outcome: Outcome, place: int) -> Row:
        chance, file = self._random, outcome.files[place]
        scored, lost = len(outcome.scores), len(outcome.errors)
        is_scored, has_failed = place < scored, scored <= place < scored + lost
        characters = file.characters
        seconds = chance.uniform(0.3, 0.9) + (characters or 0) * chance.uniform(1.5e-4, 4e-4)
        time_left = run["duration_us"] - file.extraction_us
        return {
            "run_id": run["run_id"],
            "document_key": hashlib.blake2b(f"{run['run_id']} {place}".encode(), digest_size=16).hexdigest(),
            "ordinal": 0,
            "size_bytes": file.size,
            "characters": characters,
            "type": file.type,
            "extraction_us": file.extraction_us,
            "analysis_us": min(int(seconds * 1e6), time_left)
            if characters is not None and (is_scored or has_failed)
            else None,
            "chunk_count": None if characters is None else 1 + characters // 4000,
            "score": outcome.scores[place] if is_scored else None,
            "outcome": SCORED if is_scored else FAILED if has_failed else UNSCORED,
            "error_type": outcome.errors[place - scored] if has_failed else None,
            "fallback": False,
        }

    def counters(self, run: Row, is_troubled: bool) -> list[Row]:
        """Return how often the application tried again."""
        retries = self._random.randint(0, 9) if is_troubled else int(self._random.random() < 0.05)
        return [{"run_id": run["run_id"], "name": "app_retries", "value": retries}] if retries else []

    def warning(self, run: Row) -> Row | None:
        """Return the warning that the user saw, if any.

        Who abandons a draft analyses another one: such a warning has no analysis.
        """
        chance = self._random
        if run["exceeded_resume_limit"]:
            kind, action = BATCH_TOO_LARGE, "override" if run["user_chose_override"] else CONTINUED
        elif chance.random() > 0.06:
            return None
        else:
            kind, action = "resume_too_long", chance.choice(ACTIONS)
        return {
            "analysis_id": None if action == ABANDONED else run["analysis_ref"],
            "user_id": run["user_ref"],
            "warning_type": kind,
            "warning_shown_at": run["started_at"],
            "user_action": action,
            "document_count": run["candidates"],
        }
