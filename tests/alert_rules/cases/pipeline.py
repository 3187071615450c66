from __future__ import annotations

from tests.alert_rules.case import Active, Case, count_cases, level_cases, levels, series

EXPORTER, OTHER = series("telemetry_gauges_exporter"), series("telemetry_gauges_exporter", instance="b")
RUNS = series("analysis_runs_total", kind="analysis", status="failed")
AGE, DAYS_AGE = (series("telemetry_gauges_age_seconds", query=query) for query in ("today", "days"))
ABSENT = Active("No process of screener has sent metrics for some minutes.")
MISSING = Active("The figures from SQL are missing or old for screener.")

CASES = [
    *level_cases(
        "AnalysisSpoolBacklog",
        "telemetry_spool_pending",
        limit=1000,
        beyond=1001,
        wait=10,
        description="1001 snapshots of a process wait in its spool.",
    ),
    *level_cases(
        "AnalysisSpoolOld",
        "telemetry_spool_oldest_age_seconds",
        limit=600,
        beyond=660,
        wait=2,
        description="The oldest snapshot has been waiting for 11m 0s.",
    ),
    *count_cases(
        "AnalysisSpoolFull",
        series("telemetry_spool_shed_total", what="checkpoint"),
        window=15,
        keep=15,
        description="About 1 parts of snapshots were shed in 15 minutes.",
    ),
    *level_cases(
        "AnalysisSpoolQuarantine",
        "telemetry_spool_dead",
        limit=0,
        beyond=1,
        wait=2,
        description="1 snapshots are in quarantine.",
    ),
    *count_cases(
        "AnalysisWriterFailing",
        series("telemetry_writer_failures_total", transaction="rollup"),
        window=5,
        wait=10,
        description="About 4 transactions of the writer failed in 5 minutes.",
        last="About 1 transactions of the writer failed in 5 minutes.",
    ),
    Case(
        "AnalysisWriterFailing",
        "low volume",
        "one failure every seven minutes",
        {series("telemetry_writer_failures_total", transaction="rollup"): "0x6 1x6 2x6 3x6 4x6 5x6 6x6 7x6"},
        silent=(20, 40, 50),
    ),
    Case(
        "AnalysisMetricsAbsent",
        "fires",
        "the metrics end, and come again",
        {RUNS: "1x9 stale _x19 0x30"},
        silent=(9, 14, 30, 50),
        active={15: ABSENT, 29: ABSENT},
    ),
    Case(
        "AnalysisMetricsAbsent",
        "threshold",
        "a gap of less than five minutes",
        {RUNS: "1x9 stale _x4 1x30"},
        silent=(9, 14, 15, 30),
    ),
    Case(
        "AnalysisMetricsAbsent",
        "no data",
        "another application has metrics",
        {series("analysis_runs_total", job="other"): levels((20, 1))},
        silent=(4,),
        active={5: ABSENT},
    ),
    Case(
        "AnalysisGaugesMissing",
        "fires",
        "the exporter is killed, and another does not take over for 20 minutes",
        {EXPORTER: "1x9 stale", OTHER: levels((30, 0), (20, 1))},
        silent=(9, 14, 30, 49),
        active={15: MISSING, 29: MISSING},
    ),
    Case(
        "AnalysisGaugesMissing",
        "other",
        "the figures of today grow old",
        {EXPORTER: levels((60, 1)), AGE: levels((10, 300), (20, 301), (30, 300))},
        silent=(9, 14, 30, 59),
        active={15: MISSING, 29: MISSING},
    ),
    Case(
        "AnalysisGaugesMissing",
        "other",
        "those that change once a day grow old",
        {EXPORTER: levels((60, 1)), DAYS_AGE: levels((10, 300), (20, 301), (30, 300))},
        silent=(9, 14, 30, 59),
        active={15: MISSING, 29: MISSING},
    ),
    Case(
        "AnalysisGaugesMissing",
        "threshold",
        "one exports, with figures of exactly five minutes ago",
        {
            EXPORTER: levels((60, 1)),
            OTHER: levels((60, 0)),
            AGE: levels((60, 300)),
            DAYS_AGE: levels((60, 300)),
        },
        silent=(50,),
    ),
    Case("AnalysisGaugesMissing", "no data", "no metrics have an alert of their own", {}, silent=(50,)),
    *level_cases(
        "AnalysisIntegrityViolated",
        "telemetry_integrity_violations",
        limit=0,
        beyond=1,
        wait=2,
        labels={"check": "sums"},
        description="1 rows break the rule sums.",
    ),
]
