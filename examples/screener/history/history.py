"""A history: users who come one after another and come back, and their jobs."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from datetime import date, datetime, timedelta
from random import Random
from typing import Final

from .documents import Documents
from .pace import USUAL, Pace
from .rows import ERRORS, Job, Row, at, run_id
from .stages import Stages, times

RESUME_LIMIT: Final = 200
WEEKDAYS: Final = (1.0, 1.1, 1.1, 1.0, 0.75, 0.12, 0.08)
_SUMS: Final = (
    *("attempts", "rate_limit_hits", "rate_limit_retries", "backoff_us"),
    *("input_tokens", "cached_tokens", "output_tokens", "cost_pico"),
)


class History:
    """A history that ends yesterday, of so many analyses.

    Only analyses of the last ``documents_days`` have documents: there are a hundred times as many of them.
    """

    def __init__(
        self,
        analyses: int,
        end: date,
        seed: int = 1,
        pace: Pace = USUAL,
        documents_days: int = 0,
        users: int = 0,
    ) -> None:
        self.known_users = self.known_analyses = 0
        """The highest ids that are given already: those of the history follow."""
        self._random = Random(seed)
        self._with_documents = end - timedelta(days=documents_days)
        self._of_documents = Random(seed)
        self._documents = Documents(self._of_documents)
        self._stages = Stages(self._random, self._of_documents, pace)
        self._analyses = analyses
        self._number_of_users = users or max(3, analyses // 200)
        self._pace = pace
        self._days = [end - timedelta(days=pace.days - n) for n in range(pace.days)]
        self._troubled = {day for day in self._days if self._random.random() < pace.troubled}
        self._signed_up = self._sign_ups()

    def highest(self) -> dict[str, int]:
        """Return the highest ids of the history, by table."""
        return {
            "users": self.known_users + len(self._signed_up),
            "analyses": self.known_analyses + self._analyses,
        }

    def users(self) -> Iterator[Row]:
        """Yield the users, in the order of their registration."""
        for number, day in enumerate(self._signed_up, start=1):
            yield {
                "id": self.known_users + number,
                "email": f"user-{number}@example.com",
                "password_hash": "!",
                "name": f"User {number}",
                "is_admin": False,
                "total_analyses_count": 0,
                "created_at": at(day, 7.5),
            }

    def jobs(self) -> Iterator[Job]:
        """Yield the analyses, in the order of their start."""
        number, owed, whole = 0, 0.0, sum(map(self._weight, self._days))
        known = 0
        for day in self._days:
            while known < len(self._signed_up) and self._signed_up[known] <= day:
                known += 1
            owed += self._analyses * self._weight(day) / whole
            today, owed = int(owed + 1e-6), owed - int(owed + 1e-6)
            for hour in sorted(self._hour() for _ in range(today)):
                number += 1
                yield self._job(number, at(day, hour), day in self._troubled, known)

    def _weight(self, day: date) -> float:
        """Return the weight of a day, by growth, weekday and season."""
        age = (day - self._days[0]).days / len(self._days)
        holidays = 0.15 if (day.month, day.day) >= (12, 22) else 0.6 if day.month == 8 else 1.0
        return math.exp(self._pace.growth * age) * WEEKDAYS[day.weekday()] * holidays

    def _sign_ups(self) -> list[date]:
        places = sorted(self._random.random() ** 0.6 for _ in range(self._number_of_users))
        return [self._days[0], *(self._days[int(place * len(self._days))] for place in places[1:])]

    def _hour(self) -> float:
        return min(max(self._random.gauss(13, 3.2), 0.0), 23.9)

    def _job(self, number: int, began: datetime, is_troubled: bool, users: int) -> Job:
        chance = self._random
        candidates = min(max(int(chance.lognormvariate(2.9, 1.1)), 1), 400)
        criteria = chance.randint(3, 8)
        user = self.known_users + 1 + int(users * chance.random() ** 2.2)
        status = self._status(is_troubled)
        done = candidates if status == "completed" else int(candidates * chance.random())
        stages = self._stages.rows(number, done, criteria, is_troubled)
        has_documents = began.date() >= self._with_documents
        if has_documents:
            self._stages.use_cache(stages)
        seconds = 4 + candidates * chance.uniform(0.3, 1.2) * (2 if is_troubled else 1)
        has_row = status != "failed" or chance.random() > 0.3
        exceeded = candidates > RESUME_LIMIT
        overridden = exceeded and self._of_documents.random() < 0.35
        scores = self._scores(done)
        run = {
            "run_id": run_id(number),
            "kind": "analysis",
            "source": "spans",
            "synthetic": False,
            "user_ref": user,
            "analysis_ref": self.known_analyses + number if has_row else None,
            "analysis_created_at": began if has_row else None,
            "analysis_seen_at": began if has_row else None,
            "version": 1,
            "projected_version": 1,
            "user_version": 1,
            "status": status,
            "started_at": began,
            "ended_at": began + timedelta(seconds=seconds),
            "seen_at": began + timedelta(seconds=seconds),
            "duration_us": int(seconds * 1e6),
            "queue_wait_us": int(chance.expovariate(1 / 3e6)) if candidates > 75 else None,
            "candidates": candidates,
            "criteria": criteria,
            "jd_bytes": 30_000,
            "jd_characters": chance.randint(900, 6000),
            "n_documents": candidates,
            "n_failed": candidates - done if status == "partial_failure" else 0,
            "resume_bytes": 60_000 * candidates,
            "resume_characters": 3200 * candidates,
            "resume_characters_min": 900,
            "resume_characters_max": 9000,
            **scores,
            **{name: sum(stage[name] for stage in stages) for name in _SUMS},
            "api_calls": sum(stage["calls"] for stage in stages),
            "cost_complete": chance.random() > self._pace.incomplete,
            "error_count": 0 if status == "completed" else 1,
            "error_types": None if status == "completed" else self._error(),
            "trace_id": f"{chance.getrandbits(128):032x}",
            "trace_sampled": chance.random() < 0.1,
            "exceeded_resume_limit": exceeded if has_row else None,
            "price_pico": candidates * 5 * 10**11 if has_row else None,
            "user_chose_override": overridden if has_row else None,
        }
        analysis = self._analysis(run) if has_row else None
        if not has_documents:
            return Job(run, stages, analysis)
        return Job(
            run,
            [*stages, *times(stages, seconds)],
            analysis,
            [self._documents.row(run, done, place) for place in range(candidates)],
            self._documents.counters(run, is_troubled),
            self._documents.warning(run) if analysis else None,
        )

    def _status(self, is_troubled: bool) -> str:
        draw, pace = self._random.random() / (12 if is_troubled else 1), self._pace
        if draw < pace.interrupted:
            return "interrupted"
        draw -= pace.interrupted
        if draw < pace.failed:
            return "failed"
        return "partial_failure" if draw < pace.failed + pace.partial else "completed"

    def _scores(self, done: int) -> Row:
        """Return the scores of the candidates, which are normally distributed."""
        middle = min(max(self._random.gauss(0.6, 0.1), 0.2), 0.9)
        above = round(done * min(max(middle - 0.25, 0), 1))
        below = round((done - above) * min(max(0.75 - middle, 0), 1))
        known = {"score_avg": middle, "score_median": middle, "score_min": 0.1, "score_max": 0.95}
        return {
            "n_scored": done,
            **(known if done else dict.fromkeys(known)),
            "above_70": above,
            "from_50_to_70": done - above - below,
            "below_50": below,
        }

    def _error(self) -> str:
        kind = self._random.choice(ERRORS)
        return json.dumps([{"stage": "ranking", "type": kind, "count": 1}])

    def _analysis(self, run: Row) -> Row:
        is_over = run["status"] in ("completed", "partial_failure")
        return {
            "id": run["analysis_ref"],
            "user_id": run["user_ref"],
            "job_title": "Engineer",
            "num_candidates": run["candidates"],
            "num_criteria": run["criteria"],
            "cost_usd": round(0.5 * run["candidates"], 2),
            "created_at": run["started_at"],
            "completed_at": run["ended_at"] if is_over else None,
            "processing_duration_seconds": run["duration_us"] // 10**6 if is_over else None,
            "exceeded_resume_limit": run["exceeded_resume_limit"],
            "user_chose_override": run["user_chose_override"],
            "api_calls_made": run["api_calls"],
            "total_api_cost": run["cost_pico"] / 1e12,
            "status": run["status"],
        }
