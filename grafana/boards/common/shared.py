"""What several dashboards have in common: conditions, sentences, and columns with their links."""

from __future__ import annotations

from typing import Final

from grafana.parts.links import one_analysis, trace, user
from grafana.parts.panels import COUNT, MOMENT, Column

DELIVERED: Final = "status IN ('completed', 'partial_failure')"
ENDED: Final = "kind = 'analysis' AND status IN ('completed', 'partial_failure', 'failed', 'interrupted')"
NO_GAUGES: Final = "No process exports the gauges from SQL: see Telemetry health."
NO_PROCESS: Final = "No process of the application is measured in this period."

IDS: Final = {
    "Analysis": Column(unit="none", links=(one_analysis(),), width=90),
    "User": Column(unit="none", links=(user(),), width=70),
    "Trace": Column(links=(trace(),), width=110),
    "Began": Column(unit=MOMENT, width=140),
    "Status": Column(width=120),
}
"""The ids in lists of jobs, which lead to what they name, and the time."""
JOB_IDS: Final = {name: IDS[name] for name in ("Analysis", "Trace")}
"""Those of points and documents, which have no user beside them."""

INCOMPLETE: Final = "Lower bound"
"""How many runs have an incomplete cost: unless it is 0, the sum beside it is a lower bound."""
BOUND: Final = Column(unit="suffix:unknown", decimals=0, limits={0: "green", 1: "orange"}, texts={"0": "no"})
"""That number beside a sum: "no", or for example "3 unknown"."""
BOUND_LINE: Final = Column(unit=COUNT, decimals=0, color="purple", on_right=True, line=True)
"""That number over time; where it is 0 there is none."""
COUNT_INCOMPLETE: Final = f'count(*) FILTER (WHERE NOT cost_complete) AS "{INCOMPLETE}"'
LOWER_BOUND: Final = "CASE WHEN is_complete THEN '' ELSE ' (lower bound)' END"
"""Behind the name of a sum that is incomplete."""
TOTAL: Final = """CASE WHEN cost_complete THEN 'complete' ELSE 'lower bound' END AS "Total\""""
"""Whether the cost of one job is complete."""

CALLS_TOTAL: Final = (
    """CASE WHEN sum(unpriced + usage_missing) = 0 THEN 'complete' ELSE 'lower bound' END AS "Total\""""
)
"""Whether the cost of some calls is complete."""
CALLS_UNKNOWN: Final = 'sum(unpriced) AS "No price", sum(usage_missing) AS "No usage"'
"""Of how many calls the cost is missing: a call may be in both."""
UNKNOWN_COLUMNS: Final = dict.fromkeys(("No price", "No usage"), Column(limits={0: "text", 1: "orange"}))
"""The columns of :data:`CALLS_UNKNOWN`."""
FILTERED: Final = (
    "A batch size leaves out what has none: intake, later work, and calls outside any run. A user or a segment leaves "
    "out these calls."
)
"""Beside a sum over all runs, which is over fewer once a reader chooses."""
