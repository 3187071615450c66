"""Updates the host's rows that show runs: an analysis and its files (T2), and a user (T3)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Final

from sqlalchemy.engine import Connection, Engine

from exporters.sql.database.engine import reading, transaction
from exporters.sql.host.change import Basis, Change, Written
from exporters.sql.host.columns import Writable
from exporters.sql.host.write import write, write_within

from .analyses import plan_analysis
from .plan import Plan, Projection
from .users import plan_user

FILES_AT_ONCE: Final = 500
"""Files that are written under one lock."""


class HostRows:
    """The rows of one database, which are updated one by one.

    The values of a row are computed before it is locked. After it is written, our own tables note what it
    shows.
    """

    def __init__(
        self,
        engine: Engine,
        key: bytes,
        *,
        is_trial: bool = False,
        on_coerced: Callable[[Iterable[str]], object] | None = None,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            engine: one of our engines.
            key: secret of the documents' hashes.
            is_trial: whether to roll back all that is written.
            on_coerced: called with the columns whose values had to be changed to fit.
        """
        self._engine = engine
        self._key = key
        self._is_trial = is_trial
        self._on_coerced = on_coerced
        self._columns: Writable | None = None

    @property
    def columns(self) -> Writable:
        """The columns that may be read and written, cached until :meth:`forget_columns`.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
        """
        if self._columns is None:
            self._columns = Writable.load(self._engine)
        return self._columns

    def forget_columns(self) -> None:
        """Have the columns read again."""
        self._columns = None

    def project_analysis(self, analysis_id: int) -> Projection:
        """T2: update an ``analyses`` row and its ``candidate_files`` from the runs linked to it.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
        """
        columns = self.columns
        with reading(self._engine) as connection:
            plan = plan_analysis(connection, analysis_id, columns, self._key)
        return self._carry_out(plan)

    def project_user(self, user_id: int) -> Projection:
        """T3: update the totals in a ``users`` row.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database refuses or is unavailable.
        """
        columns = self.columns
        with reading(self._engine) as connection:
            plan = plan_user(connection, user_id, columns)
        return self._carry_out(plan)

    def _carry_out(self, plan: Plan) -> Projection:
        outcome = self._write_and_note(plan)
        if plan.coerced and self._on_coerced is not None:
            self._on_coerced(plan.coerced)
        return outcome

    def _write_and_note(self, plan: Plan) -> Projection:
        written: Written | None = None
        if self._engine.dialect.name != "postgresql":
            with self._transaction() as connection:
                if plan.change is not None:
                    written = write_within(connection, plan.basis, plan.change)
                    if written is None:
                        return Projection.BUSY
                return plan.note(connection, written)
        if plan.change is not None:
            written = self._write_in_parts(plan.basis, plan.change)
            if written is None:
                return Projection.BUSY
        with self._transaction() as connection:
            return plan.note(connection, written)

    def _write_in_parts(self, basis: Basis, change: Change) -> Written | None:
        """Write the row, and its files in parts, so that no row is locked for long."""
        files, free, stored = change.files, 0, 0
        for at in range(0, max(len(files), 1), FILES_AT_ONCE):
            part = files[at : at + FILES_AT_ONCE]
            some = replace(change, files=part) if at == 0 else Change({}, part)
            written = write(self._engine, basis, some, roll_back=self._is_trial)
            if written is None:
                return None
            free, stored = free + written.free, written.stored
        return Written(free, stored)

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        """Open a transaction; in a trial it is rolled back at its end."""
        with suppress(_RolledBack), transaction(self._engine) as connection:
            yield connection
            if self._is_trial:
                raise _RolledBack


class _RolledBack(Exception):
    """Raised to roll a trial back."""
