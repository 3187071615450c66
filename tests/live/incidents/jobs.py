"""Incidents of jobs: they fail, are slow, hang, are interrupted, or wait."""

from __future__ import annotations

import signal
from collections.abc import Iterator

from exporters.sql.schema.tables import runs
from tests.live.incident import incident
from tests.live.incidents.calls import SOON
from tests.live.system import System
from tests.waiting import until

UNDER_WAY = "SELECT COUNT(*) FROM telemetry_runs WHERE status = 'running' AND candidates = 7"
FAILED = 16
SUCCEEDED = 400
"""So many jobs that those which failed before are less than the 5 % that may fail in the long run."""


@incident(
    "AnalysisFailingFast",
    "AnalysisOpenAIErrors",
    "AnalysisRetriesExhausted",
    later=("AnalysisFailingSlowly",),
    how=f"OpenAI answers embeddings with 500, and {FAILED} analyses fail",
    cure=f"it answers again, and {SUCCEEDED} jobs succeed",
)
def model_fails(system: System) -> Iterator[None]:
    client, number = system.draft("fails")
    with system.faults({"match": {"path": "/embeddings", "contains": "fails"}, "status": 500, **SOON}):
        for _ in range(FAILED):
            assert client.start(number)["state"] == "failed"
        yield
    with system.script() as script:
        script.do(f"jobs {SUCCEEDED}")
        script.do("export")


@incident(
    "AnalysisJobsRateLimited",
    how="OpenAI answers the first attempt of each rating of two analyses with 429",
    cure="the day ends",
)
def rate_limited(system: System) -> Iterator[None]:
    client, number = system.draft("hurried")
    rule = {"match": {"task": "rank", "contains": "hurried"}, "status": 429, "first_attempts": 1, **SOON}
    for _ in range(2):
        with system.faults(rule):
            client.start(number)
    yield
    system.history.end_day(runs.c.rate_limit_hits > 0)


USUAL_NAMING = 'sum(increase(analysis_stage_duration_seconds_count{stage="naming"}[24m] offset 1m)) >= 15'
"""There were enough executions of a stage a day ago, by the compressed rules."""


@incident(
    "AnalysisStageSlow",
    how="OpenAI takes 1.5 seconds for the name in each of six résumés",
    cure="it answers fast again",
)
def stage_slow(system: System) -> Iterator[None]:
    for _ in range(5):
        system.draft("usual", resumes=6)
    until(lambda: system.prometheus.query(USUAL_NAMING), 200, what="the usual time of the stage is known")
    with system.faults({"match": {"task": "name", "contains": "slow"}, "delay_ms": 1500}):
        system.draft("slow", resumes=6)
        yield


@incident(
    "AnalysisRunTooLong",
    "AnalysisRunsSilent",
    how="the process of a run is stopped by SIGSTOP",
    cure="it goes on, and ends its run",
)
def process_hangs(system: System) -> Iterator[None]:
    with system.script() as script:
        script.do("begin 7")
        until(lambda: system.app.sql.value(UNDER_WAY), what="the database knows the run")
        script.signal(signal.SIGSTOP)
        yield
        script.signal(signal.SIGCONT)
        script.do("end")


@incident(
    "AnalysisJobsInterrupted",
    "AnalysisWorkerSilent",
    "AnalysisNoSuccess",
    how="the worker is killed while it analyses, and another job waits",
    cure="it is started, the day ends",
)
def worker_killed(system: System) -> Iterator[None]:
    client, number = system.draft("kill", resumes=3)
    rule = {"match": {"task": "rank", "contains": "kill"}, "delay_ms": 20_000}
    with system.faults(rule):
        first = client.start(number)["analysis"]
        until(lambda: client.status(first)["stage"] == "ranking", what="the worker analyses")
        system.app.processes["worker"].kill()
    client.start(number)
    yield
    system.app.worker()
    system.history.end_day(runs.c.status == "interrupted")


@incident(
    "AnalysisOverrideRateRising",
    how="of six jobs of today over the limit all were overridden, of ten before none",
    cure="they are taken away",
)
def overrides(system: System) -> Iterator[None]:
    before = system.history.add(10, days_ago=20, exceeded_resume_limit=True, user_chose_override=False)
    today = system.history.add(6, exceeded_resume_limit=True, user_chose_override=True)
    yield
    system.history.remove((*before, *today))
