from __future__ import annotations

from tests.alert_rules.case import JOB, Active, Case, counts, series

STAGE = {"stage": "ranking"}
ALERT = "AnalysisStageSlow"


def stage(*phases: tuple[int, float, float]) -> dict[str, str]:
    """Return the series of a stage: a number of minutes, executions in each, and seconds of each."""
    return {
        series("analysis_stage_duration_seconds_count", **STAGE): counts(
            *((steps, executions) for steps, executions, _ in phases)
        ),
        series("analysis_stage_duration_seconds_sum", **STAGE): counts(
            *((steps, executions * seconds) for steps, executions, seconds in phases)
        ),
    }


def slow(times: str) -> Active:
    """Return the alert of a stage that takes so many times as long."""
    return Active(
        f"The stage ranking takes {times} times as long as before.",
        {"job": JOB, **STAGE},
    )


def documents(*phases: tuple[int, float], outcome: str = "scored") -> dict[str, str]:
    """Return the series of documents: a number of minutes, and documents in each."""
    return {series("analysis_documents_total", type="pdf", outcome=outcome): counts(*phases)}


CASES = [
    Case(
        ALERT,
        "fires",
        "from two to twenty seconds for half an hour",
        stage((120, 1, 2), (30, 1, 20), (120, 1, 2)),
        silent=(119, 130, 136, 220, 260),
        active={137: slow("3.6"), 150: slow("5.6")},
    ),
    Case(ALERT, "threshold", "1.9 times as long", stage((120, 1, 2), (61, 1, 3.8)), silent=(179, 181)),
    Case(ALERT, "low volume", "four executions in an hour", stage((120, 1, 2), (70, 4 / 60, 20)), (189,)),
    Case(
        ALERT,
        "other",
        "seven executions in an hour",
        stage((300, 0.12, 2), (70, 0.12, 6)),
        silent=(300,),
        active={369: slow("2.8")},
    ),
    Case(ALERT, "other", "0.8 s instead of 0.2 s", stage((120, 1, 0.2), (60, 1, 0.8)), silent=(179,)),
    Case(
        ALERT,
        "other",
        "1.5 s instead of 0.5 s",
        stage((120, 1, 0.5), (60, 1, 1.5)),
        silent=(130,),
        active={179: slow("3.0")},
    ),
    Case(
        ALERT,
        "other",
        "it takes five times as long for five times as many documents",
        stage((120, 1, 2), (60, 1, 10)) | documents((120, 3), (60, 15)),
        silent=(130, 179),
    ),
    Case(
        ALERT,
        "other",
        "it takes ten times as long for two and a half times as many",
        stage((120, 1, 2), (60, 1, 20)) | documents((120, 2), (60, 5)),
        silent=(130,),
        active={179: slow("10.0")},
    ),
    Case(
        ALERT,
        "other",
        "it takes three times as long for twice as many",
        stage((120, 1, 2), (60, 1, 6)) | documents((120, 2), (60, 4)),
        silent=(130, 179),
    ),
    Case(
        ALERT,
        "low volume",
        "12 executions before that",
        stage((130, 0.1, 2), (70, 0.2, 20)),
        silent=(175, 185),
    ),
    Case(
        ALERT,
        "other",
        "25 executions before that",
        stage((270, 0.1, 2), (70, 0.2, 20)),
        silent=(270,),
        active={320: slow("9.3")},
    ),
    Case(ALERT, "no data", "no history", stage((70, 1, 20)), silent=(50,)),
]
