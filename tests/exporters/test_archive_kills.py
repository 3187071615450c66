"""Whatever is archived and wherever it is killed: archive and tables together hold every row once."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.engine import Engine

from exporters.archive import archive
from exporters.integrity.validation import validate
from exporters.rollup.snapshot import Snapshot
from exporters.sql.schema import tables as schema
from exporters.sql.storage import runs as run_storage
from exporters.upkeep.health_log import HealthCheck as DailyCheck
from tests.choice import whole_matrix
from tests.exporters.makers import START, Fragment, Host, call, moment, visit
from tests.exporters.test_archive import DAY, World

HOSTS = ("sqlite", "psycopg2")

FIRST = moment(START).date()
OWNERS = {1: 1, 2: 1, 3: 2}
"""Which user each analysis belongs to."""


class Killed(BaseException):
    """The process ends here."""


@dataclass(frozen=True)
class Planned:
    """One run of an example."""

    kind: str
    user: int | None
    analysis: int | None
    day: int
    is_over: bool
    synthetic: bool
    subject: str | None


@dataclass(frozen=True)
class Attempt:
    """One try at archiving, which is killed."""

    day: int
    form: str
    kill_at: int
    touched: frozenset[int]
    """Which runs change afterwards, if they are still there."""


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=6)
subjects = st.none() | texts | st.sampled_from([r"\N", "\\", '"', "\r\n", ","])
runs = st.builds(
    Planned,
    st.sampled_from(["analysis", "late", "intake"]),
    st.sampled_from([None, 1, 2, 77]),
    st.sampled_from([None, 1, 2, 3, 88]),
    st.integers(0, 6),
    st.sampled_from([True, True, True, False]),
    st.sampled_from([False, False, False, True]),
    subjects,
)
attempts = st.builds(
    Attempt,
    st.integers(0, 8),
    st.sampled_from(["csv", "parquet"]),
    st.integers(1, 150),
    st.frozensets(st.integers(0, 8)),
)


def empty(host: Host) -> None:
    """Empty all tables, but for what migrations have put there."""
    kept = (schema.added_objects.name,)
    tables = [table for table in reversed(schema.metadata.sorted_tables) if table.name not in kept]
    with host.engine.begin() as connection:
        for name in (*(table.name for table in tables), "candidate_files", "analyses", "users"):
            connection.execute(sa.text(f"DELETE FROM {name}"))


def fill(world: World, planned: list[Planned]) -> list[Snapshot]:
    """Make the runs and the log of their days; return what was delivered."""
    for user in (1, 2):
        world.host.add_user(user)
    for analysis, user in OWNERS.items():
        world.host.add_analysis(analysis, user)
    delivered = []
    for number, run in enumerate(planned):
        owner = OWNERS.get(run.analysis or 0, run.user)
        known: dict[str, Any] = {"kind": run.kind, "user_id": owner, "synthetic": run.synthetic}
        known |= {"analysis_id": run.analysis, "subject": run.subject}
        fragment = Fragment(opened_at=START + run.day * DAY + number, **known).calls(
            call(pico=10**9 + number)
        )
        fragment.documents(visit("a.pdf", score=0.5)).accumulator.count("retries", number)
        snapshot = fragment.close(candidates=number) if run.is_over else fragment.snapshot()
        run_storage.deliver(world.engine, snapshot)
        delivered.append(snapshot)
    world.settle()
    with DailyCheck(world.settings) as check:
        list(check.log(FIRST, FIRST + timedelta(days=6)))
    return delivered


def touch(world: World, snapshots: list[Snapshot], number: int) -> None:
    """Change rows in a way that changes no total."""
    for snapshot in snapshots:
        change = schema.runs.update().where(schema.runs.c.run_id == snapshot.run_id)
        with world.engine.begin() as connection:
            connection.execute(change.values(seen_at=moment(START + number * DAY)))


@contextmanager
def killed_at(moment: int) -> Iterator[None]:
    """End at the given step, where a step is whatever reaches the disk or the database."""
    passed = 0

    def step(*_: Any, **__: Any) -> None:
        nonlocal passed
        passed += 1
        if passed == moment:
            raise Killed

    def stepping(act: Any) -> Any:
        def acting(*arguments: Any, **known: Any) -> Any:
            step()
            return act(*arguments, **known)

        return acting

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", stepping(os.fsync))
        patch.setattr(os, "rename", stepping(os.rename))
        patch.setattr(shutil, "rmtree", stepping(shutil.rmtree))
        patch.setattr(os, "unlink", stepping(os.unlink))
        patch.setattr(archive, "BATCH", 1)
        patch.setattr(archive, "PART", 3)
        for event in ("begin", "commit"):
            sa.event.listen(Engine, event, step)
        try:
            yield
        except Killed:
            pass
        finally:
            for event in ("begin", "commit"):
                sa.event.remove(Engine, event, step)


@pytest.mark.timeout(600)
@settings(
    max_examples=40 if whole_matrix() else 10,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
    print_blob=True,
)
@given(st.lists(runs, max_size=9), st.lists(attempts, max_size=5), st.integers(0, 8))
def test_every_row_is_in_the_tables_or_the_archive_once(
    host: Host, engine: Engine, planned: list[Planned], tries: list[Attempt], last: int
) -> None:
    """Nothing lost, nothing twice, no total changed, no analysis torn apart, nothing brought back."""
    empty(host)
    with tempfile.TemporaryDirectory() as folder:
        world = World(host, engine, Path(folder) / "archive")
        delivered = fill(world, planned)
        before, totals = world.rows(), world.totals()

        for number, attempt in enumerate(tries):
            with killed_at(attempt.kill_at):
                world.archive(FIRST + timedelta(days=attempt.day), attempt.form)
            left = world.rows()
            touch(world, [delivered[n] for n in attempt.touched if n < len(delivered)], number)
            before = before - left + world.rows()
        world.archive(FIRST + timedelta(days=last))

        assert world.rows() + world.files() == before
        assert world.plan(FIRST + timedelta(days=last)).runs == 0
        archived = {row["run_id"]: row for row in host.rows("telemetry_archived_runs")}
        is_archived = {
            snapshot.run_id: (run, snapshot.run_id in archived)
            for run, snapshot in zip(planned, delivered, strict=True)
        }
        for run, gone in is_archived.values():
            assert not (gone and (run.analysis == 88 or not run.is_over))
        for analysis in OWNERS:
            assert len({gone for run, gone in is_archived.values() if run.analysis == analysis}) <= 1
        assert validate(host.url) == []
        left = world.rows()
        for snapshot in delivered:
            if snapshot.run_id in archived:
                run_storage.deliver(engine, snapshot)
        assert world.rows() == left
        assert world.totals() == totals
        assert world.recomputed() == totals
