from __future__ import annotations

from tests.alert_rules.case import Active, Case, level_cases, levels, series

RECENT, USUAL = series("analysis_overrides_7d_ratio"), series("analysis_overrides_30d_ratio")
VOLUME = series("analysis_over_limit_jobs_7d")
WAITING, SUCCESS = series("analysis_jobs_waiting"), series("analysis_last_success_age_seconds")

CASES = [
    Case(
        "AnalysisOverrideRateRising",
        "fires",
        "1.51 times as many as usual, for an hour and a half",
        {
            RECENT: levels((10, 0.3), (90, 0.302), (30, 0.3)),
            USUAL: levels((130, 0.2)),
            VOLUME: levels((130, 500)),
        },
        silent=(0, 9, 69, 100, 129),
        active={
            70: Active("The override rate of 7 days is 1.51 times that of 30 days."),
            99: Active("The override rate of 7 days is 1.51 times that of 30 days."),
        },
    ),
    Case(
        "AnalysisOverrideRateRising",
        "threshold",
        "exactly 1.5 times, which are the same in binary, and 1.49 times",
        {RECENT: levels((90, 0.375), (90, 0.3725)), USUAL: levels((180, 0.25)), VOLUME: levels((180, 500))},
        silent=(80, 170),
    ),
    Case(
        "AnalysisOverrideRateRising",
        "threshold",
        "exactly three standard deviations of a share of 16 jobs",
        {RECENT: levels((180, 0.875)), USUAL: levels((180, 0.5)), VOLUME: levels((180, 16))},
        silent=(170,),
    ),
    Case(
        "AnalysisOverrideRateRising",
        "low volume",
        "two and a half times as many as usual, of twelve jobs, which is chance",
        {RECENT: levels((180, 0.5)), USUAL: levels((180, 0.2)), VOLUME: levels((180, 12))},
        silent=(170,),
    ),
    Case(
        "AnalysisOverrideRateRising",
        "low volume",
        "four jobs of four are overridden",
        {RECENT: levels((180, 1)), USUAL: levels((180, 0.2)), VOLUME: levels((180, 4))},
        silent=(170,),
    ),
    Case(
        "AnalysisOverrideRateRising",
        "other",
        "just enough jobs",
        {RECENT: levels((180, 0.8)), USUAL: levels((180, 0.2)), VOLUME: levels((180, 5))},
        silent=(59,),
        active={60: Active("The override rate of 7 days is 4.00 times that of 30 days.")},
    ),
    Case(
        "AnalysisOverrideRateRising",
        "no data",
        "no job was over the limit in 30 days, or none was overridden",
        {
            VOLUME: levels((180, 0)),
            series("analysis_overrides_7d_ratio", job="b"): levels((180, 0)),
            series("analysis_overrides_30d_ratio", job="b"): levels((180, 0)),
        },
        silent=(170,),
    ),
    *level_cases(
        "AnalysisJobsRateLimited",
        "analysis_rate_limited_jobs_today",
        limit=5,
        beyond=6,
        description="6 jobs that began today met a rate limit.",
    ),
    Case(
        "AnalysisJobsRateLimited",
        "other",
        "midnight resets it, and a restart of the exporter does not",
        {
            series("analysis_rate_limited_jobs_today"): "7x19 stale",
            series("analysis_rate_limited_jobs_today", instance="b"): "_x19 7x20 0x20",
        },
        silent=(42, 60),
        active={
            19: Active("7 jobs that began today met a rate limit."),
            20: Active("7 jobs that began today met a rate limit."),
            39: Active("7 jobs that began today met a rate limit."),
        },
    ),
    Case(
        "AnalysisJobsRateLimited",
        "other",
        "a used-up quota is no rate limit",
        {
            series("analysis_rate_limited_jobs_today"): levels((30, 0)),
            series("analysis_quota_refused_jobs_today"): levels((30, 50)),
            series("analysis_spend_limited_jobs_today"): levels((30, 50)),
        },
        silent=(20,),
    ),
    *level_cases(
        "AnalysisJobsInterrupted",
        "analysis_interrupted_jobs_today",
        limit=1,
        beyond=2,
        description="2 jobs that began today were interrupted, by a crash or a deployment.",
    ),
    *level_cases(
        "AnalysisRunsSilent",
        "analysis_silent_runs",
        limit=0,
        beyond=1,
        wait=5,
        description="The database has not heard of 1 runs under way for too long.",
    ),
    *level_cases(
        "AnalysisRunTooLong",
        "analysis_oldest_run_age_seconds",
        limit=7200,
        beyond=7260,
        wait=2,
        description="The oldest run under way began 2h 1m 0s ago.",
    ),
    Case(
        "AnalysisNoSuccess",
        "fires",
        "two jobs wait for 50 minutes, then one succeeds",
        {WAITING: levels((10, 0), (70, 2)), SUCCESS: levels((60, 3600), (20, 3599))},
        silent=(9, 39, 60, 79),
        active={
            40: Active("2 jobs wait, and none has succeeded for long."),
            59: Active("2 jobs wait, and none has succeeded for long."),
        },
    ),
    Case(
        "AnalysisNoSuccess",
        "threshold",
        "the last success is a second less than an hour ago",
        {WAITING: levels((90, 2)), SUCCESS: levels((90, 3599))},
        silent=(80,),
    ),
    Case(
        "AnalysisNoSuccess",
        "other",
        "nothing has ever succeeded, and one job waits",
        {WAITING: levels((90, 1))},
        silent=(29,),
        active={30: Active("1 jobs wait, and none has succeeded for long.")},
    ),
    Case(
        "AnalysisNoSuccess",
        "low volume",
        "a quiet weekend: nothing succeeds, and nothing waits",
        {WAITING: levels((90, 0)), SUCCESS: "86400+60x89"},
        silent=(80,),
    ),
    Case(
        "AnalysisNoSuccess", "no data", "the host does not count", {SUCCESS: levels((90, 9e5))}, silent=(80,)
    ),
    *level_cases(
        "AnalysisWorkerSilent",
        "analysis_worker_heartbeat_age_seconds",
        limit=300,
        beyond=330,
        wait=2,
        description="A worker last showed 5m 30s ago that it is alive.",
    ),
]
