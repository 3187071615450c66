"""Import analyses from before telemetry, for `flask telemetry import-history`.

Each becomes a run of kind `import`, with sizes and lengths from the stored files, and times and numbers from
its row. Its cost is not known, so it is never complete. The rows of the host get the columns that can be
derived, and users their totals.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Self

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from exporters.sql.database.engine import create_engine, transaction
from exporters.sql.database.fitting import fit_all
from exporters.sql.database.statements import Row, update_rows, upsert
from exporters.sql.host.columns import PAGE
from exporters.sql.host.needs import Use
from exporters.sql.projection.behind import lagging_users
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.projection.noted import COPIED
from exporters.sql.projection.plan import Projection
from exporters.sql.projection.values import analysis_values
from exporters.sql.schema import tables
from exporters.sql.schema.host import HOST
from exporters.sql.schema.tables import JOBS, archived_runs, runs
from exporters.sql.storage import archived

from .imported_run import Files, document_type, run_of

BATCH: Final = 100
"""Analyses in one transaction, which locks their rows for tens of milliseconds."""
YOUNG: Final = timedelta(days=1)
"""Younger analyses are left out: their runs may not be delivered yet."""


NOTHING: Final[dict[str, Any]] = dict.fromkeys(runs.c.keys())


class History:
    """Imports the analyses that have no run and are older than the first run."""

    def __init__(self, database_url: str) -> None:
        """Read the schema and the time of the database.

        Raises:
            ValueError: if the URL cannot be used.
            sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
        """
        self._engine = create_engine(database_url)
        # The key is for documents, which are not projected here.
        self._rows = HostRows(self._engine, b"")
        self._writable = self._rows.columns
        self._created = self._writable.column(HOST.analyses, "created_at")
        self._has_own_status = "status" not in self._writable.columns.get("analyses", ())
        with transaction(self._engine) as connection:
            self._now: datetime = connection.execute(sa.select(tables.utc_now())).scalar_one()
            self._end = _end(connection, self._now)

    def pending(self) -> int:
        """Return the number of analyses to import."""
        with transaction(self._engine) as connection:
            query = sa.select(sa.func.count()).select_from(HOST.analyses).where(self._is_pending(connection))
            return connection.execute(query).scalar_one()

    def analyses(self) -> Iterator[int]:
        """Import the analyses, and yield their number after each transaction; may be interrupted at any time.

        Analyses that the host has locked are skipped, and stay pending.
        """
        last: int | None = None
        while True:
            with transaction(self._engine) as connection:
                rows = self._locked_analyses(connection, last)
                taken = self._import(connection, rows)
            if not rows:
                return
            last = rows[-1]["id"]
            yield taken

    def left_out(self) -> list[str]:
        """Return a line for everything that is left out: missing columns, and rows without a time."""
        lines = [f"{column}; see {PAGE}" for column in self._writable.left_out(Use.PROJECTION, Use.HISTORY)]
        if self._created is not None:
            with transaction(self._engine) as connection:
                undated = sa.select(sa.func.count()).select_from(HOST.analyses).where(self._created.is_(None))
                if number := connection.execute(undated).scalar_one():
                    lines.append(f"{number} analyses have no created_at, and are not imported")
        return lines

    def users(self) -> list[int]:
        """Return the users whose totals lag behind."""
        return lagging_users(self._engine)

    def refresh(self, user_id: int) -> bool:
        """Update the totals of a user; return False if the host has locked the row: its writer updates it."""
        return self._rows.project_user(user_id) is not Projection.BUSY

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._engine.dispose()

    def _is_pending(self, connection: Connection) -> sa.ColumnElement[bool]:
        table, then = HOST.analyses, runs.c.analysis_created_at
        if self._created is None:
            return sa.false()
        linked = sa.and_(
            runs.c.analysis_ref == table.c.id,
            runs.c.kind.in_(JOBS),
            runs.c.analysis_gone.is_(False),
            archived.is_same_row(connection, then, self._created),  # SQLite reuses the ids of deleted rows
        )
        is_archived = archived.of_analysis(connection, table.c.id, self._created)
        return sa.and_(self._created < self._end, ~sa.exists().where(linked), ~is_archived)

    def _locked_analyses(self, connection: Connection, last: int | None) -> Sequence[Row]:
        table = HOST.analyses
        read = ("id", "user_id", "created_at", "num_candidates", "num_criteria", "completed_at")
        more = ("processing_duration_seconds", "jd_character_count", "jd_file_size_bytes", "status", *COPIED)
        query = sa.select(*self._writable.read(table, *read, *more)).where(self._is_pending(connection))
        if last is not None:
            query = query.where(table.c.id > last)
        query = query.order_by(table.c.id).limit(BATCH)
        locked = query.with_for_update(of=table, skip_locked=True, key_share=True)
        rows = [dict(row) for row in connection.execute(locked).mappings()]
        return [row if self._has_own_status else row | {"status": None} for row in rows]

    def _import(self, connection: Connection, rows: Sequence[Row]) -> int:
        files = self._locked_files(connection, [row["id"] for row in rows])
        free = [row for row in rows if row["id"] in files]
        taken = [run_of(row, files[row["id"]]) | {"analysis_seen_at": self._now} for row in free]
        upsert(connection, runs, fit_all(runs, taken).rows, keep=tuple(runs.c.keys()))
        self._show_analyses(connection, taken)
        self._show_files(connection, [file for row in free for file in files[row["id"]].rows])
        return len(taken)

    def _locked_files(self, connection: Connection, analyses: Sequence[int]) -> dict[int, Files]:
        """Lock the files of ``analyses``, and return them by analysis, without those locked by the host."""
        table = HOST.candidate_files
        if not self._writable.has_files:
            return {analysis_id: Files([]) for analysis_id in analyses}
        selected = table.c.analysis_id.in_(analyses)
        text = self._writable.column(table, "extracted_text")
        characters = sa.null() if text is None else sa.func.length(text)
        query = sa.select(
            table.c.id,
            table.c.analysis_id,
            *self._writable.read(table, "file_name", "file_bytes"),
            characters.label("characters"),
        ).where(selected)
        locked = query.order_by(table.c.id).with_for_update(skip_locked=True, key_share=True)
        rows: dict[int, list[Row]] = {analysis_id: [] for analysis_id in analyses}
        for row in connection.execute(locked).mappings():
            rows[row["analysis_id"]].append(dict(row))
        count = sa.select(table.c.analysis_id, sa.func.count()).where(selected).group_by(table.c.analysis_id)
        stored = {analysis_id: number for analysis_id, number in connection.execute(count)}
        return {key: Files(files) for key, files in rows.items() if len(files) == stored.get(key, 0)}

    def _show_analyses(self, connection: Connection, taken: Sequence[Row]) -> None:
        table = HOST.analyses
        rows = [
            {
                "row_id": run["analysis_ref"],
                **self._writable.only(table, analysis_values([{**NOTHING, **run}], [], [])),
            }
            for run in taken
        ]
        update_rows(connection, table, fit_all(table, rows).rows)

    def _show_files(self, connection: Connection, files: Sequence[Row]) -> None:
        table = HOST.candidate_files
        rows = [
            {
                "row_id": row["id"],
                **self._writable.only(
                    table,
                    {
                        "resume_file_size_bytes": row["file_bytes"],
                        "resume_character_count": row["characters"],
                        "resume_file_type": document_type(row["file_name"]),
                    },
                ),
            }
            for row in files
        ]
        update_rows(connection, table, fit_all(table, rows).rows)


def _end(connection: Connection, now: datetime) -> datetime:
    """Return the end of the time before telemetry: the start of the first run, at most a day ago."""
    first = sa.select(sa.func.min(runs.c.started_at)).where(
        runs.c.kind == "analysis", runs.c.synthetic.is_(False)
    )
    before = sa.select(sa.func.min(archived_runs.c.started_at)).where(
        archived_runs.c.kind == "analysis", archived_runs.c.synthetic.is_(False)
    )
    begun: list[datetime | None] = [connection.execute(query).scalar() for query in (first, before)]
    return min([now - YOUNG, *(moment for moment in begun if moment is not None)])
