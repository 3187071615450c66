"""Two pairs of windows each: while one is tried, a large number of old jobs keeps the other one silent."""

from __future__ import annotations

from tests.alert_rules.case import Active, Case, counts, series

RUNS = "analysis_runs_total"


def runs(*phases: tuple[int, float, float]) -> dict[str, str]:
    """Return series of jobs: a number of steps, and how many fail and succeed in each."""
    labels = {"kind": "analysis", "batch_size": "small"}
    return {
        series(RUNS, status="failed", **labels): counts(*((steps, bad) for steps, bad, _ in phases)),
        series(RUNS, status="completed", **labels): counts(*((steps, good) for steps, _, good in phases)),
        series(RUNS, status="cancelled", **labels): counts((sum(steps for steps, *_ in phases), 5)),
    }


def share(percent: str) -> Active:
    """Return the alert with this share of failed jobs."""
    return Active(f"{percent}% of the jobs failed or were interrupted.")


_old = ((60, 0.0, 1000.0), (70, 0.0, 0.0))
"""Two hours ago many jobs succeeded."""
_older = ((100, 0.0, 1000.0), (150, 0.0, 0.0))
"""One and two days ago many jobs succeeded; the steps are ten minutes."""
FAST, SLOW = "AnalysisFailingFast", "AnalysisFailingSlowly"

CASES = [
    Case(
        FAST,
        "fires",
        "nine of ten jobs fail for 70 minutes; five and 60 minutes are above 72 %",
        runs(*_old, (70, 0.9, 0.1), (60, 0, 10)),
        silent=(130, 135, 213, 250),
        active={160: share("90"), 200: share("90")},
    ),
    Case(FAST, "threshold", "60 % in an hour, 30 % in six", runs(*_old, (70, 0.6, 0.4)), silent=(150, 195)),
    Case(FAST, "low volume", "all 9 jobs of an hour fail", runs(*_old, (90, 0.15, 0)), silent=(150, 215)),
    Case(FAST, "other", "all 15 do", runs(*_old, (90, 0.25, 0)), silent=(150,), active={215: share("100")}),
    Case(
        FAST,
        "other",
        "of the last hour many failed, of the last five minutes only half",
        runs(*_old, (60, 1, 0), (20, 0.5, 0.5)),
        silent=(205,),
    ),
    Case(
        FAST, "other", "half an hour after all was well", runs(*_old, (60, 0, 1), (30, 1, 0)), silent=(219,)
    ),
    Case(
        FAST,
        "other",
        "half of the jobs fail; 30 minutes and six hours are above 30 %",
        runs((400, 0.5, 0.5)),
        silent=(5, 9),
        active={10: share("50"), 100: share("50"), 390: share("50")},
    ),
    Case(FAST, "threshold", "three of ten jobs fail", runs((400, 3, 7)), silent=(100, 390)),
    Case(
        FAST, "low volume", "half of the 9 jobs of four hours fail", runs((250, 0.018, 0.018)), silent=(245,)
    ),
    Case(FAST, "other", "half of 15 do", runs((250, 0.03, 0.03)), silent=(100,), active={245: share("50")}),
    Case(
        FAST,
        "other",
        "of six hours many failed, of the last 30 minutes few",
        runs((100, 0.5, 0.5), (50, 0.2, 0.8)),
        silent=(149,),
    ),
    Case(FAST, "other", "40 minutes after all was well", runs((60, 0, 1), (40, 0.5, 0.5)), silent=(98,)),
    Case(FAST, "no data", "no jobs", runs((400, 0, 0)), silent=(100, 390)),
    Case(
        SLOW,
        "fires",
        "a fifth of the jobs fails for a day; two hours and a day are above 15 %",
        runs(*_older, (100, 0.2, 0.8), (40, 0, 1)),
        silent=(252, 289 + 80, 385),
        active={300: share("20"), 350: share("20")},
        minutes=10,
    ),
    Case(SLOW, "low volume", "all 9 jobs of a day fail", runs(*_older, (18, 0.5, 0)), (265, 268), minutes=10),
    Case(SLOW, "other", "all 20 do", runs(*_older, (40, 0.5, 0)), (265,), {289: share("100")}, minutes=10),
    Case(
        SLOW,
        "other",
        "of a day many failed, of the last two hours few",
        runs(*_older, (10, 4, 0), (24, 0.5, 4.5)),
        silent=(283,),
        minutes=10,
    ),
    Case(
        SLOW,
        "other",
        "two hours after all was well",
        runs(*_older, (100, 0, 1), (12, 1, 0)),
        silent=(361,),
        minutes=10,
    ),
    Case(
        SLOW,
        "other",
        "one of twelve jobs fails; six hours and three days are above 5 %",
        runs((80, 0.08, 0.92)),
        silent=(5, 39),
        active={40: share("8"), 70: share("8")},
        minutes=10,
    ),
    Case(SLOW, "threshold", "one of twenty jobs fails", runs((80, 1, 19)), silent=(70,), minutes=10),
    Case(SLOW, "low volume", "three of 36 jobs", runs((60, 0.05, 0.55)), silent=(58,), minutes=10),
    Case(SLOW, "other", "four of 48 jobs", runs((60, 0.064, 0.736)), (20,), {58: share("8")}, minutes=10),
    Case(
        SLOW,
        "other",
        "of three days many failed, of the last six hours few",
        runs((60, 0.32, 3.68), (48, 0.125, 4.125)),
        silent=(107,),
        minutes=10,
    ),
    Case(
        SLOW, "other", "ten hours after all was well", runs((100, 0, 1), (60, 0.08, 0.92)), (158,), minutes=10
    ),
    Case(
        SLOW,
        "low volume",
        "two days after many failed, one of six hours fails",
        runs((30, 0, 1), (6, 5, 0), (250, 0, 0.125), (1, 1, 0), (50, 0, 0.125)),
        silent=(280, 288, 310),
        minutes=10,
    ),
    Case(
        SLOW,
        "low volume",
        "ten hours after many failed, one of two hours fails",
        runs((100, 0, 1), (10, 3, 0), (60, 0, 0.125), (1, 1, 0), (20, 0, 0.125)),
        silent=(160, 172, 180),
        minutes=10,
    ),
    Case(
        SLOW,
        "other",
        "two days after many failed, two of six hours fail",
        runs((30, 0, 1), (6, 5, 0), (250, 0, 0.125), (2, 1, 0), (50, 0, 0.125)),
        silent=(280,),
        active={300: share("32.65")},
        minutes=10,
    ),
    Case(SLOW, "no data", "no jobs", runs((80, 0, 0)), silent=(70,), minutes=10),
]
