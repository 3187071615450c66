"""The figures that ``flask telemetry report`` shows: of a period, a user, a model or an analysis.

Everything comes from the views and the tables behind them, so that it agrees with dashboards and exports.
"""

from .figures import report
from .lines import Gap, Job, Money, Period, Range, Spend, Usage, User
from .selection import Selection
from .shape import Report

__all__ = [
    "Gap",
    "Job",
    "Money",
    "Period",
    "Range",
    "Report",
    "Selection",
    "Spend",
    "Usage",
    "User",
    "report",
]
