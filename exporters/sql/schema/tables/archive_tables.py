"""The tables of runs and days that are in archives."""

from __future__ import annotations

import sqlalchemy as sa

from ..columns import column
from .kinds import RUN_KINDS, flag, metadata, moment, own_id, reference

archived_runs = sa.Table(
    "telemetry_archived_runs",
    metadata,
    own_id("run_id", "The run."),
    column("kind", sa.String(20), f"What it was: {RUN_KINDS}.", nullable=False),
    flag("synthetic", "Whether the doctor made it up."),
    reference("user_ref", "`users.id`."),
    reference("analysis_ref", "`analyses.id`."),
    moment("analysis_created_at", "`analyses.created_at`."),
    flag("analysis_gone", "Whether its analysis was deleted before."),
    column("started_at", sa.DateTime(), "When it began.", nullable=False),
    column("fragments", sa.Text(), "JSON: the newest `seq` that was delivered, by fragment.", nullable=False),
    column("archive", sa.String(64), "Name of the archive.", nullable=False),
)
"""One row a run that is in an archive, so that nothing takes it for a new one.

`fragments` is JSON: the newest `seq` that was delivered, by the id of the fragment.
"""

sa.Index(None, archived_runs.c.user_ref)
sa.Index(None, archived_runs.c.analysis_ref)
sa.Index(None, archived_runs.c.started_at)
sa.Index(None, archived_runs.c.archive)

archived_days = sa.Table(
    "telemetry_archived_days",
    metadata,
    column("log_date", sa.Date(), "The day.", primary_key=True),
    column("archive", sa.String(64), "Name of the archive.", nullable=False),
)
"""One row a day of `system_health_log` that is in an archive."""
