"""Jobs: each is drawn once, and all its rows are made from that."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random
from typing import Final

from telemetry.conventions import COMPLETED, FAILED, INTERRUPTED, PARTIAL_FAILURE, Stage

from .documents import Documents
from .outcome import Outcome, outcome
from .pace import Pace
from .rows import ERRORS, Job, Row, run_id
from .shelf import LARGEST_JOB, Shelf
from .stages import Stages, sums, times

RESUME_LIMIT: Final = 200
QUEUED: Final = 75
"""Candidates above which a job waits for a worker."""
PRICE_PICO: Final = 5 * 10**11
"""What a user pays for a candidate."""


@dataclass(frozen=True)
class Request:
    """Who asks for a job, and when."""

    number: int
    began: datetime
    is_troubled: bool
    """Whether the provider is in trouble."""
    analysis: int
    first_user: int
    users: int
    """Users until then; the first ones come most often."""
    has_documents: bool


class Jobs:
    """Makes jobs."""

    def __init__(self, chance: Random, seed: int, pace: Pace) -> None:
        self._random, self._details, self._pace = chance, Random(f"{seed} details"), pace
        self._shelf = Shelf(seed)
        self._documents = Documents(self._details)
        self._stages = Stages(chance, self._details, pace)

    def job(self, request: Request) -> Job:
        """Return a job with all its rows."""
        chance, number, began = self._random, request.number, request.began
        candidates = min(max(int(chance.lognormvariate(2.9, 1.1)), 1), LARGEST_JOB)
        criteria = chance.randint(3, 8)
        user = request.first_user + int(request.users * chance.random() ** 2.2)
        meant = self._status(request.is_troubled)
        done = candidates if meant == COMPLETED else int(candidates * chance.random())
        stages = self._stages.rows(number, done, criteria, request.is_troubled)
        seconds = 4 + candidates * chance.uniform(0.3, 1.2) * (2 if request.is_troubled else 1)
        has_row = meant != FAILED or chance.random() > 0.3
        middle = min(max(chance.gauss(0.6, 0.1), 0.2), 0.9)
        run = {
            **_origin(request, user, has_row),
            **_period(began, seconds),
            "queue_wait_us": int(chance.expovariate(1 / 3e6)) if candidates > QUEUED else None,
            "candidates": candidates,
            "criteria": criteria,
            **self._description(),
        }
        has_usage = chance.random() > self._pace.incomplete
        cause = "" if meant == COMPLETED else chance.choice(ERRORS)
        came = self._outcome(meant, cause, candidates, done, middle)
        if came.status in (FAILED, INTERRUPTED):
            stages = [stage for stage in stages if stage["stage"] == Stage.RANKING]
        self._stages.lose(stages, number, criteria, came.refused)
        self._stages.close(stages, began, has_usage=has_usage)
        is_closed = came.status != INTERRUPTED
        run |= {
            **came.facts(),
            **sums(stages),
            "unclosed": int(not is_closed),
            "cost_complete": is_closed and not any(stage["usage_missing"] for stage in stages),
            "trace_id": f"{chance.getrandbits(128):032x}",
            "trace_sampled": chance.random() < 0.1,
            **self._of_host(candidates, has_row),
        }
        analysis = _analysis(run) if has_row else None
        if not request.has_documents:
            return Job(run, stages, analysis)
        return Job(
            run,
            [*stages, *times(stages, seconds)],
            analysis,
            self._documents.rows(run, came),
            self._documents.counters(run, request.is_troubled),
            self._documents.warning(run) if analysis else None,
        )

    def _status(self, is_troubled: bool) -> str:
        draw, pace = self._random.random() / (12 if is_troubled else 1), self._pace
        if draw < pace.interrupted:
            return INTERRUPTED
        draw -= pace.interrupted
        if draw < pace.failed:
            return FAILED
        return PARTIAL_FAILURE if draw < pace.failed + pace.partial else COMPLETED

    def _description(self) -> Row:
        """Return the length of the job description, and the size of its file."""
        characters = self._random.randint(900, 6000)
        size = 3_000 + int(characters * self._details.uniform(1.1, 9))
        return {"jd_bytes": size, "jd_characters": characters}

    def _outcome(self, meant: str, cause: str, candidates: int, done: int, middle: float) -> Outcome:
        files = self._shelf.files(candidates, self._details)
        scores = self._shelf.scores(done, middle, self._details)
        return outcome(meant, cause, files, scores, self._details)

    def _of_host(self, candidates: int, has_row: bool) -> Row:
        """Return what the application's row says."""
        exceeded = candidates > RESUME_LIMIT
        overridden = exceeded and self._details.random() < 0.35
        return {
            "exceeded_resume_limit": exceeded if has_row else None,
            "price_pico": candidates * PRICE_PICO if has_row else None,
            "user_chose_override": overridden if has_row else None,
        }


def _origin(request: Request, user: int, has_row: bool) -> Row:
    """Return whose run it is, and of which analysis."""
    began = request.began if has_row else None
    return {
        "run_id": run_id(request.number),
        "kind": "analysis",
        "source": "spans",
        "synthetic": False,
        "user_ref": user,
        "analysis_ref": request.analysis if has_row else None,
        "analysis_created_at": began,
        "analysis_seen_at": began,
        **dict.fromkeys(("version", "projected_version", "user_version"), 1),
    }


def _period(began: datetime, seconds: float) -> Row:
    ended = began + timedelta(seconds=seconds)
    return {"started_at": began, "ended_at": ended, "seen_at": ended, "duration_us": int(seconds * 1e6)}


def _analysis(run: Row) -> Row:
    is_over = run["status"] in (COMPLETED, PARTIAL_FAILURE)
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
