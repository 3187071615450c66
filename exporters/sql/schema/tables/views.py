"""Our views; :mod:`exporters.catalogue.views` describes their columns."""

from __future__ import annotations

VIEWS = (
    "telemetry_run_spend",
    "telemetry_spend",
    "telemetry_analysis_spend",
    "telemetry_user_segments",
    "telemetry_jobs",
    "telemetry_warnings",
    "telemetry_stages",
    "telemetry_health",
    "telemetry_run_documents",
    "telemetry_errors",
    "telemetry_job_issues",
)
"""What dashboards, exports and reports read; a role for dashboards may read these and nothing else."""
