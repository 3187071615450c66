from __future__ import annotations

from tests.alert_rules.case import Active, Case, count_cases, level_cases, levels, series

UNACCOUNTED = "analysis_openai_unaccounted_total"

FORECAST = Active("$1240.00 by the end of the month, of a budget of $1000.")

CASES = [
    *level_cases(
        "AnalysisDailyBudgetPassed",
        "analysis_spend_today_usd",
        limit=50,
        beyond=50.01,
        description="$50.01 spent today, of a budget of $50.",
    ),
    Case(
        "AnalysisDailyBudgetPassed",
        "other",
        "an empty history and a running job: it fires with the first value",
        {series("analysis_spend_today_usd"): "51 52"},
        silent=(),
        active={0: Active("$51.00 spent today, of a budget of $50.")},
    ),
    Case(
        "AnalysisDailyBudgetPassed",
        "other",
        "the last values of a former exporter do not count twice",
        {
            series("analysis_spend_today_usd"): levels((30, 49)),
            series("analysis_spend_today_usd", instance="b"): levels((30, 49)),
        },
        silent=(20,),
    ),
    Case(
        "AnalysisDailyBudgetPassed",
        "other",
        "another application has its own budget",
        {series("analysis_spend_today_usd", job="other"): levels((30, 99))},
        silent=(20,),
    ),
    *level_cases(
        "AnalysisDailyBudgetNearlySpent",
        "analysis_spend_today_usd",
        limit=40,
        beyond=40.5,
        description="$40.50 spent today, of a budget of $50.",
    ),
    *level_cases(
        "AnalysisMonthlyBudgetPassed",
        "analysis_spend_month_usd",
        limit=1000,
        beyond=1000.5,
        description="$1000.50 spent this month, of a budget of $1000.",
    ),
    *level_cases(
        "AnalysisMonthlyBudgetNearlySpent",
        "analysis_spend_month_usd",
        limit=800,
        beyond=801,
        description="$801.00 spent this month, of a budget of $1000.",
    ),
    *level_cases(
        "AnalysisMonthlyBudgetForecast",
        "analysis_spend_month_forecast_usd",
        limit=1000,
        beyond=1240,
        wait=2,
        keep=60,
        others={series("analysis_spend_month_usd"): levels((120, 1000))},
        description="$1240.00 by the end of the month, of a budget of $1000.",
    ),
    Case(
        "AnalysisMonthlyBudgetForecast",
        "other",
        "once the budget is passed, another alert says so; a new month begins without either",
        {
            series("analysis_spend_month_forecast_usd"): levels((70, 1240), (20, 30)),
            series("analysis_spend_month_usd"): levels((5, 1000), (65, 1001), (20, 1)),
        },
        silent=(1, 65, 70, 89),
        active={2: FORECAST, 63: FORECAST},
    ),
    *level_cases(
        "AnalysisJobBudgetPassed",
        "analysis_spend_largest_job_usd",
        limit=5,
        beyond=5.25,
        description="A job costs $5.25, of a budget of $5.",
    ),
    *count_cases(
        "AnalysisCallsUnpriced",
        series(UNACCOUNTED, reason="unpriced"),
        window=60,
        description="About 1 calls in an hour without a price.",
    ),
    *count_cases(
        "AnalysisUsageMissing",
        series(UNACCOUNTED, reason="usage_missing"),
        window=60,
        description="About 1 answers in an hour without their usage.",
    ),
    *count_cases(
        "AnalysisCallsOrphaned",
        series(UNACCOUNTED, reason="orphan"),
        window=60,
        description="About 1 calls in an hour outside of any run.",
    ),
]
