"""The uids of the dashboards, which alerts lead to; they stay the same for ever."""

from __future__ import annotations

from typing import Final

OVERVIEW: Final = "analysis-overview"
COST: Final = "analysis-cost"
RATE_LIMITS: Final = "analysis-rate-limits"
ERRORS: Final = "analysis-errors"
PERFORMANCE: Final = "analysis-performance"
QUALITY: Final = "analysis-resume-quality"
USERS: Final = "analysis-users"
ONE_ANALYSIS: Final = "analysis-one"
TELEMETRY: Final = "analysis-telemetry"
