"""What is wrong with calls to OpenAI."""

from __future__ import annotations

from typing import Final

from telemetry import conventions as c
from telemetry.conventions.vocabulary import QUOTA_USED_UP
from tests.months.incidents.incident import Incident
from tests.months.jobs import Job
from tests.months.month import Month
from tests.months.scene import at


def _rate_limits(month: Month) -> None:
    for job in month.between(at(10, 9, 13), at(10, 9, 16))[:12]:
        for stage, calls in job.calls.items():
            job.statuses[stage] = [(c.TOO_FAST, c.TOO_FAST, "200")] * (calls // 3 + 1)
        job.run["rate_limit_hits"] = sum(calls // 3 + 1 for calls in job.calls.values())
        job.headroom = 200


def _quota(month: Month) -> None:
    for job in month.between(at(10, 13, 13), at(10, 13, 17)):
        _refuse(job, QUOTA_USED_UP)
        job.run["quota_hits"] = 5


def _server_errors(month: Month) -> None:
    """A fifth of the calls fail, all attempts of them; the jobs leave out these candidates."""
    for job in month.between(at(10, 15, 12, 40), at(10, 15, 14, 40)):
        for stage, calls in job.calls.items():
            job.statuses[stage] = [("200",)] * calls
            job.statuses[stage][::5] = [("500", "503", "500")] * len(job.statuses[stage][::5])
        job.run["status"] = c.PARTIAL_FAILURE


def _slow_provider(month: Month) -> None:
    for job in month.between(at(11, 5, 13), at(11, 5, 17)):
        job.last((job.end - job.start) * 5)


def _refuse(job: Job, *statuses: str) -> None:
    """Let all calls of a job fail soon, and with them the job."""
    job.calls = {"ranking": 5}
    job.statuses = {"ranking": [statuses] * 5}
    job.last(10)
    job.fail()
    job.run["cost_pico"] = job.run["n_scored"] = 0


INCIDENTS: Final = (
    Incident(
        "12 jobs meet rate limits, and succeed by retries",
        at(10, 9, 13),
        at(10, 10, 1),
        {"AnalysisJobsRateLimited": "", "AnalysisHeadroomNearlyGone": "little is left of the rate limits"},
        _rate_limits,
    ),
    Incident(
        "the quota is used up for four hours",
        at(10, 13, 13),
        at(10, 16, 18),  # for three days single failures come on top
        {
            "AnalysisQuotaUsedUp": "",
            "AnalysisFailingFast": "every job fails",
            "AnalysisFailingSlowly": "they are many of the day's",
            "AnalysisFailureAnomaly": "the day after, they are yesterday's",
        },
        _quota,
    ),
    Incident(
        "a fifth of the calls fail for two hours, in spite of retries",
        at(10, 15, 12, 40),
        at(10, 15, 16),
        {"AnalysisOpenAIErrors": "", "AnalysisRetriesExhausted": "no retry of these calls succeeds"},
        _server_errors,
    ),
    Incident(
        "the provider is five times as slow for four hours",
        at(11, 5, 13),
        at(11, 7, 1),
        {"AnalysisStageSlow": "", "AnalysisLatencyAnomaly": "the day after, they are yesterday's"},
        _slow_provider,
    ),
)
