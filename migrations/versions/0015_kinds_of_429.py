"""What a 429 said: the rate (as before), quota used up, spend limit reached; and calls that cost otherwise.

Rows from before do not tell the three apart: their ``rate_limit_hits`` are all 429s.
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import context, op

revision = "0015"
down_revision = "0014"

TABLES = ("telemetry_runs", "telemetry_stage_usage")
COLUMNS = {"quota_hits": sa.BigInteger, "spend_limit_hits": sa.BigInteger, "unmodelled": sa.Integer}
SHOWN = ("quota_hits", "spend_limit_hits")
BACKOFF = "CASE WHEN run.kind <> 'import' THEN run.backoff_us"


def views_before() -> dict[str, str]:
    """Return the queries of the views as they were."""
    first, last = (context.script.get_revision(name).module for name in ("0009", "0014"))
    views = first.views(first.LATELY[op.get_context().dialect.name])
    jobs = last.before().replace("run.status,", "run.status, run.status_reason,")
    return {"telemetry_jobs": jobs, "telemetry_stages": views["telemetry_stages"]}


def views() -> dict[str, str]:
    """Return the queries of the views with the new columns."""
    seen = context.script.get_revision("0009").module.seen
    before = views_before()
    jobs, stages = before["telemetry_jobs"], before["telemetry_stages"]
    return {
        "telemetry_jobs": jobs.replace(BACKOFF, f"{seen(*SHOWN)}, {BACKOFF}"),
        "telemetry_stages": stages.replace(
            "part.other_retries,", f"part.other_retries, {', '.join(f'part.{name}' for name in SHOWN)},"
        ).replace("part.unpriced,", "part.unpriced, part.unmodelled,"),
    }


def show(queries: dict[str, str]) -> None:
    for name, query in queries.items():
        op.execute(f"DROP VIEW {name}")
        op.execute(f"CREATE VIEW {name} AS {query}")


def upgrade() -> None:
    for table in TABLES:
        for name, kind in COLUMNS.items():
            op.add_column(table, sa.Column(name, kind(), nullable=False, server_default=sa.text("0")))
    show(views())


def downgrade() -> None:
    show(views_before())
    for table in TABLES:
        for name in reversed(COLUMNS):
            op.drop_column(table, name)
