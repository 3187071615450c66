"""A history: users who come one after another and come back, and their jobs."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import date, timedelta
from random import Random
from typing import Final

from .jobs import Jobs, Request
from .pace import USUAL, Pace
from .rows import Job, Row, at

WEEKDAYS: Final = (1.0, 1.1, 1.1, 1.0, 0.75, 0.12, 0.08)


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
        self._jobs = Jobs(self._random, seed, pace)
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
                yield self._jobs.job(
                    Request(
                        number,
                        at(day, hour),
                        is_troubled=day in self._troubled,
                        analysis=self.known_analyses + number,
                        first_user=self.known_users + 1,
                        users=known,
                        has_documents=day >= self._with_documents,
                    )
                )

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
