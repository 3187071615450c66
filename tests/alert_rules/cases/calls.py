from __future__ import annotations

from tests.alert_rules.case import JOB, Active, Case, count_cases, counts, level_cases, levels, series

ATTEMPTS = "analysis_openai_attempts_total"
OK, ERROR = series(ATTEMPTS, stage="ranking", status="200"), series(ATTEMPTS, stage="ranking", status="500")
QUOTA = series(ATTEMPTS, stage="ranking", status="429_quota")
SPEND_LIMIT = series(ATTEMPTS, stage="ranking", status="429_spend_limit")
TOO_FAST = series(ATTEMPTS, stage="ranking", status="429")
GIVEN_UP = series("analysis_openai_operations_total", stage="ranking", outcome="error")
RETRIED = series("analysis_openai_retries_total", stage="ranking", reason="other")
HEADROOM = "analysis_openai_headroom_ratio"
LIMIT = {"model": "gpt-5", "limit": "tokens"}

CASES = [
    *count_cases(
        "AnalysisQuotaUsedUp",
        QUOTA,
        window=10,
        keep=30,
        description="About 1 calls in 10 minutes were refused: the quota is used up.",
    ),
    Case(
        "AnalysisQuotaUsedUp",
        "other",
        "neither rate limits nor a spend limit are a used-up quota",
        {TOO_FAST: counts((40, 5)), SPEND_LIMIT: counts((40, 5))},
        silent=(30,),
    ),
    *count_cases(
        "AnalysisSpendLimitReached",
        SPEND_LIMIT,
        window=10,
        keep=30,
        description="About 1 calls in 10 minutes were refused: the spend limit is reached.",
    ),
    Case(
        "AnalysisOpenAIErrors",
        "fires",
        "every fourth request fails for 20 minutes",
        {OK: counts((20, 8), (20, 6), (40, 8)), ERROR: counts((20, 0), (20, 2), (40, 0))},
        silent=(20, 23, 55, 70),
        active={
            30: Active("25% of the requests in 10 minutes failed."),
            40: Active("25% of the requests in 10 minutes failed."),
        },
    ),
    Case(
        "AnalysisOpenAIErrors",
        "threshold",
        "every tenth request fails",
        {OK: counts((60, 9)), ERROR: counts((60, 1))},
        silent=(20, 50),
    ),
    Case(
        "AnalysisOpenAIErrors",
        "low volume",
        "of 40 requests in 10 minutes all fail",
        {OK: counts((60, 0)), ERROR: counts((60, 4))},
        silent=(20, 50),
    ),
    Case(
        "AnalysisOpenAIErrors",
        "other",
        "of 70 requests in 10 minutes every eighth fails",
        {OK: counts((60, 6.125)), ERROR: counts((60, 0.875))},
        silent=(6,),
        active={30: Active("12.5% of the requests in 10 minutes failed.")},
    ),
    Case(
        "AnalysisOpenAIErrors",
        "other",
        "it waits for two minutes, and stays for five",
        {OK: counts((20, 10), (10, 0), (30, 100)), ERROR: counts((20, 0), (10, 10), (30, 0))},
        silent=(22, 40),
        active={
            23: Active("31.03% of the requests in 10 minutes failed."),
            38: Active("11.11% of the requests in 10 minutes failed."),
        },
    ),
    Case(
        "AnalysisOpenAIErrors",
        "other",
        "refusals for speed, quota or spend are no errors",
        {
            OK: counts((60, 5)),
            TOO_FAST: counts((60, 5)),
            QUOTA: counts((60, 5)),
            SPEND_LIMIT: counts((60, 5)),
            ERROR: counts((60, 0)),
        },
        silent=(20, 50),
    ),
    Case(
        "AnalysisOpenAIErrors", "no data", "no requests", {OK: counts((60, 0)), ERROR: counts((60, 0))}, (50,)
    ),
    Case(
        "AnalysisRetriesExhausted",
        "fires",
        "a call in a minute fails for 20 minutes",
        {GIVEN_UP: counts((20, 0), (20, 1), (40, 0)), RETRIED: counts((20, 0), (20, 2), (40, 0))},
        silent=(20, 26, 27, 60, 70),
        active={
            28: Active("About 8 calls failed in 15 minutes."),
            40: Active("About 15 calls failed in 15 minutes."),
        },
    ),
    Case(
        "AnalysisRetriesExhausted",
        "threshold",
        "about five calls in 15 minutes",
        {GIVEN_UP: counts((90, 1 / 3)), RETRIED: counts((90, 1))},
        silent=(20, 80),
    ),
    Case(
        "AnalysisRetriesExhausted",
        "other",
        "seven calls in 15 minutes, each retried once in a while",
        {GIVEN_UP: counts((90, 0.5)), RETRIED: counts((90, 0.1))},
        silent=(9,),
        active={80: Active("About 8 calls failed in 15 minutes.")},
    ),
    Case(
        "AnalysisRetriesExhausted",
        "other",
        "calls that cannot be retried, such as those refused for the quota",
        {GIVEN_UP: counts((90, 5)), RETRIED: counts((90, 0))},
        silent=(80,),
    ),
    Case("AnalysisRetriesExhausted", "no data", "no calls", {RETRIED: counts((90, 1))}, (80,)),
    *level_cases(
        "AnalysisHeadroomNearlyGone",
        HEADROOM,
        limit=0.1,
        beyond=0.08,
        wait=5,
        labels=LIMIT,
        others={OK: counts((60, 1))},
        description="8% of the tokens of gpt-5 are left.",
    ),
    Case(
        "AnalysisHeadroomNearlyGone",
        "other",
        "a process that asks no more shows how little was left when it did",
        {
            series(HEADROOM, **LIMIT): levels((60, 0.02)),
            series(HEADROOM, instance="b", **LIMIT): levels((60, 0.6)),
            OK: counts((10, 5), (50, 0)),
            series(ATTEMPTS, instance="b", stage="ranking", status="200"): counts((60, 5)),
        },
        silent=(25, 50),
        active={15: Active("2% of the tokens of gpt-5 are left.", {"job": JOB, **LIMIT})},
    ),
]
