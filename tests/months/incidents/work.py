"""What is wrong with jobs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from exporters.sql.schema.tables import runs
from telemetry import conventions as c
from telemetry.conventions import gauges
from tests.months.incidents.incident import Incident, postpone
from tests.months.jobs import Job
from tests.months.month import Month
from tests.months.scene import HOUR, MINUTE, at


def _worker_dead(month: Month) -> None:
    """The worker is dead for two hours; large jobs wait, and small ones go on in requests."""
    begin, end = at(10, 28, 11), at(10, 28, 13)
    for job in month.between(begin - HOUR, end):
        if job.process == "worker" and job.end > begin:
            job.shift(end - job.start + MINUTE)
    heartbeat = month.gauges[gauges.WORKER_HEARTBEAT.name]
    for second in range(begin, end, MINUTE):
        heartbeat.set(second, begin)
    month.gauges[gauges.JOBS_WAITING.name].during(begin + 5 * MINUTE, end, 2)


def _stuck(month: Month) -> None:
    """A job hangs for three hours and lets none other begin."""
    begin, end = at(10, 29, 13), at(10, 29, 16, 30)
    postpone(month, begin, end)
    job = month.between(end, end + HOUR)[0]
    job.shift(begin - job.start)
    job.last(end - MINUTE - begin)
    month.gauges[gauges.JOBS_WAITING.name].during(begin + 10 * MINUTE, end, 9)


def _silent(month: Month) -> None:
    """A machine is lost with its disk: nobody hears of its run again, until the daily check gives it up."""
    job = max(month.between(at(11, 3, 11), at(11, 3, 14)), key=lambda job: job.end - job.start)
    job.never_ends = True
    gone = {"status": c.INTERRUPTED}
    _write_later(month, job, at(11, 3, 17), gone)


def _crashes(month: Month) -> None:
    for job in month.between(at(11, 4, 14), at(11, 4, 18))[:3]:
        job.fail(c.INTERRUPTED)


def _overrides(month: Month) -> None:
    """A new page makes it easy to override the limit."""
    for job in month.between(at(11, 9), at(11, 17)):
        if job.run["exceeded_resume_limit"]:
            job.run["user_chose_override"] = True


def _write_later(month: Month, job: Job, second: int, values: Mapping[str, object]) -> None:
    change = runs.update().where(runs.c.run_id == job.run["run_id"]).values(**values)
    month.written.append((second, lambda connection: connection.execute(change)))


INCIDENTS: Final = (
    Incident(
        "the worker is dead for two hours",
        at(10, 28, 11),
        at(10, 28, 14),
        {"AnalysisWorkerSilent": ""},
        _worker_dead,
    ),
    Incident(
        "a job hangs for three and a half hours, and all others wait",
        at(10, 29, 13),
        at(10, 29, 19),
        {
            "AnalysisNoSuccess": "",
            "AnalysisRunTooLong": "it is that job",
        },
        _stuck,
        {"AnalysisStageSlow": "its stage took so long; seen if enough others ran on the day before"},
    ),
    Incident(
        "a machine is lost with its disk and a run",
        at(11, 3, 11),
        at(11, 3, 18),
        {"AnalysisRunsSilent": "", "AnalysisRunTooLong": "nobody ends it"},
        _silent,
    ),
    Incident(
        "three jobs are killed",
        at(11, 4, 14),
        at(11, 6, 0, 1),
        {"AnalysisJobsInterrupted": ""},
        _crashes,
        {"AnalysisFailureAnomaly": "with others that fail, they are more than chance"},
    ),
    Incident(
        "users override the limit whenever they meet it, for eight days",
        at(11, 9),
        at(11, 24),
        {"AnalysisOverrideRateRising": ""},
        _overrides,
    ),
)
