"""The SQL tables of this project, and what it adds to the host's."""

from __future__ import annotations

from ..host import (
    CANDIDATE_FILES_COLUMNS,
    HOST_COLUMNS,
    HOST_INDEXES,
    HostIndex,
)
from . import addition_table, archive_tables, daily_tables, part_tables, run_tables, warning_tables
from .addition_table import added_objects
from .archive_tables import archived_days, archived_runs
from .daily_tables import daily_tasks, found, system_health_log
from .kinds import NAMING_CONVENTION, metadata, utc_now
from .part_tables import counters, documents, stage_usage, users
from .run_tables import JOBS, fragments, runs
from .views import VIEWS
from .warning_tables import document_warnings, warning_events

MODULES = (run_tables, part_tables, archive_tables, addition_table, warning_tables, daily_tables)
"""Where the tables are declared, in the order of the catalogue."""

__all__ = [
    "CANDIDATE_FILES_COLUMNS",
    "HOST_COLUMNS",
    "HOST_INDEXES",
    "JOBS",
    "MODULES",
    "NAMING_CONVENTION",
    "VIEWS",
    "HostIndex",
    "added_objects",
    "archived_days",
    "archived_runs",
    "counters",
    "daily_tasks",
    "document_warnings",
    "documents",
    "found",
    "fragments",
    "metadata",
    "runs",
    "stage_usage",
    "system_health_log",
    "users",
    "utc_now",
    "warning_events",
]
