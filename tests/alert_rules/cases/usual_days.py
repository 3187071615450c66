from __future__ import annotations

from tests.alert_rules.case import Active, Case, level_cases, levels, series

JOBS, USUAL_JOBS = series("analysis_yesterday_jobs"), series("analysis_usual_day_jobs")
FAILED, USUAL_FAILED = (
    series("analysis_yesterday_failed_ratio"),
    series("analysis_usual_day_failed_ratio"),
)
FAILED_JOBS = series("analysis_yesterday_failed_jobs")
P95, USUAL_P95 = (
    series("analysis_yesterday_duration_p95_seconds"),
    series("analysis_usual_day_duration_p95_seconds"),
)
EACH_COST, USUAL_EACH_COST = (
    series("analysis_yesterday_candidate_cost_usd"),
    series("analysis_usual_day_candidate_cost_usd"),
)
EACH_SECONDS, USUAL_EACH_SECONDS = (
    series("analysis_yesterday_candidate_duration_seconds"),
    series("analysis_usual_day_candidate_duration_seconds"),
)
COSTS = {
    series("analysis_yesterday_cost_usd"): levels((60, 30)),
    series("analysis_usual_day_cost_usd"): levels((60, 10)),
    USUAL_EACH_COST: levels((60, 2)),
    USUAL_JOBS: levels((60, 20)),
}
ENOUGH = {JOBS: levels((60, 20))}

CASES = [
    *level_cases(
        "AnalysisCostAnomaly",
        "analysis_yesterday_cost_usd",
        limit=20,
        beyond=20.5,
        wait=5,
        others={series("analysis_usual_day_cost_usd"): levels((60, 10))},
        description="Yesterday's jobs cost $20.50.",
    ),
    Case(
        "AnalysisCostAnomaly",
        "low volume",
        "too few of the weekdays before had enough jobs, so nothing is usual",
        {series("analysis_yesterday_cost_usd"): levels((30, 99))},
        silent=(20,),
    ),
    Case(
        "AnalysisCostAnomaly",
        "other",
        "twice as many jobs, each candidate half as dear again: they were only larger",
        COSTS | {EACH_COST: levels((60, 3)), JOBS: levels((60, 40))},
        silent=(50,),
    ),
    Case(
        "AnalysisCostAnomaly",
        "other",
        "each candidate is dearer",
        COSTS | {EACH_COST: levels((60, 3.2)), JOBS: levels((60, 20))},
        silent=(4,),
        active={5: Active("Yesterday's jobs cost $30.00.")},
    ),
    Case(
        "AnalysisCostAnomaly",
        "other",
        "there are more jobs",
        COSTS | {EACH_COST: levels((60, 2)), JOBS: levels((60, 41))},
        silent=(4,),
        active={5: Active("Yesterday's jobs cost $30.00.")},
    ),
    *level_cases(
        "AnalysisVolumeAnomaly",
        "analysis_yesterday_jobs",
        limit=20,
        beyond=21,
        wait=5,
        others={USUAL_JOBS: levels((60, 10))},
        description="Yesterday had 21 jobs.",
    ),
    Case(
        "AnalysisVolumeAnomaly",
        "other",
        "less than half as many as usual",
        {JOBS: levels((20, 5), (40, 4)), USUAL_JOBS: levels((60, 10))},
        silent=(19, 24),
        active={25: Active("Yesterday had 4 jobs.")},
    ),
    *level_cases(
        "AnalysisLatencyAnomaly",
        "analysis_yesterday_duration_p95_seconds",
        limit=120,
        beyond=125,
        wait=5,
        others={USUAL_P95: levels((60, 60)), **ENOUGH},
        description="5 % of yesterday's jobs took longer than 2m 5s.",
    ),
    Case(
        "AnalysisLatencyAnomaly",
        "low volume",
        "only 19 jobs",
        {P95: levels((30, 999)), USUAL_P95: levels((30, 60)), JOBS: levels((30, 19))},
        silent=(20,),
    ),
    Case(
        "AnalysisLatencyAnomaly",
        "other",
        "each candidate takes half as long again: the jobs were larger; and then longer",
        {
            P95: levels((60, 200)),
            USUAL_P95: levels((60, 60)),
            EACH_SECONDS: levels((30, 3), (30, 3.2)),
            USUAL_EACH_SECONDS: levels((60, 2)),
            **ENOUGH,
        },
        silent=(29, 34),
        active={35: Active("5 % of yesterday's jobs took longer than 3m 20s.")},
    ),
    *level_cases(
        "AnalysisFailureAnomaly",
        "analysis_yesterday_failed_ratio",
        limit=0.25,
        beyond=0.26,
        wait=5,
        others={USUAL_FAILED: levels((60, 0.125)), FAILED_JOBS: levels((60, 9)), **ENOUGH},
        description="26% of yesterday's jobs failed or were interrupted.",
    ),
    Case(
        "AnalysisFailureAnomaly",
        "low volume",
        "half of only 18 jobs",
        {
            FAILED: levels((30, 0.5)),
            USUAL_FAILED: levels((30, 0.01)),
            FAILED_JOBS: levels((30, 9)),
            JOBS: levels((30, 18)),
        },
        silent=(20,),
    ),
    Case(
        "AnalysisFailureAnomaly",
        "other",
        "three failed jobs are chance, where failures are unusual, and four are not",
        {
            FAILED: levels((30, 0.15), (30, 0.2)),
            USUAL_FAILED: levels((60, 0)),
            FAILED_JOBS: levels((30, 3), (30, 4)),
            JOBS: levels((60, 20)),
        },
        silent=(29, 34),
        active={35: Active("20% of yesterday's jobs failed or were interrupted.")},
    ),
    *level_cases(
        "AnalysisHealthLogMissing",
        "telemetry_health_log_age_seconds",
        limit=93600,
        beyond=97200,
        wait=10,
        description="The last day in the log ended 1d 3h 0m 0s ago.",
    ),
]
