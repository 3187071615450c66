"""Reads the database with plain SQL."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from examples.screener.auth import USER_EMAIL

Row = dict[str, Any]

UNDELIVERED = "SELECT COUNT(*) FROM telemetry_runs WHERE status = 'running'"
UNPROJECTED = """
    SELECT COUNT(*) FROM telemetry_runs
    WHERE (analysis_ref IS NOT NULL AND NOT analysis_gone AND projected_version < version)
    OR (user_ref IS NOT NULL AND status <> 'running' AND user_version < version)
"""


class Database:
    """A database; connections are kept until :meth:`close`, and replaced where it was away."""

    def __init__(self, url: str) -> None:
        self.engine = sa.create_engine(url, pool_pre_ping=True)

    def rows(self, query: str, **values: object) -> list[Row]:
        """Return the rows of a query."""
        with self.engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.text(query), values).mappings()]

    def row(self, query: str, **values: object) -> Row:
        """Return the only row of a query."""
        rows = self.rows(query, **values)
        assert len(rows) == 1, f"{len(rows)} rows: {query} {values}"
        return rows[0]

    def value(self, query: str, **values: object) -> Any:
        """Return the only value of the only row of a query."""
        return next(iter(self.row(query, **values).values()))

    def runs(self, analysis: int | None = None, **values: str) -> list[Row]:
        """Return rows of telemetry_runs, in the order of their start."""
        known = {"analysis_ref": analysis, **values} if analysis is not None else values
        where = " AND ".join(f"{name} = :{name}" for name in known) or "1 = 1"
        return self.rows(f"SELECT * FROM telemetry_runs WHERE {where} ORDER BY started_at, run_id", **known)

    def analysis(self, analysis: int) -> Row:
        """Return the row of an analysis."""
        return self.row("SELECT * FROM analyses WHERE id = :id", id=analysis)

    def files(self, analysis: int) -> list[Row]:
        """Return the rows of an analysis's files."""
        query = "SELECT * FROM candidate_files WHERE analysis_id = :id ORDER BY id"
        return self.rows(query, id=analysis)

    def user(self) -> Row:
        """Return the row of the user who signs in."""
        return self.row("SELECT * FROM users WHERE email = :email", email=USER_EMAIL)

    def is_delivered(self) -> bool:
        """Return whether every known run has ended."""
        return not self.value(UNDELIVERED)

    def is_projected(self) -> bool:
        """Return whether the host's rows show all runs in their newest state."""
        return not self.value(UNPROJECTED)

    def close(self) -> None:
        self.engine.dispose()
