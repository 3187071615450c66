"""Old runs and days of the log move to files, once, and no total changes."""

from __future__ import annotations

import gzip
import json
import signal
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from sqlalchemy.engine import Engine

from exporters.archive import archive as module
from exporters.archive import part as archive_part
from exporters.archive.archive import Archive, Plan
from exporters.archive.contents import LOG, RUNS, exact_rows
from exporters.archive.due import STAY, TOGETHER
from exporters.archive.part import MANIFEST, ArchiveError
from exporters.export.cells import kinds_of
from exporters.export.formats import FORMATS
from exporters.integrity.validation import validate
from exporters.process.spool_keeper import SpoolKeeper
from exporters.rollup.snapshot import Snapshot
from exporters.spool.quarantine import quarantine
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.schema import tables
from exporters.sql.storage import runs as run_storage
from exporters.sql.storage.archived import ArchivedRun
from exporters.upkeep.erase import erase
from exporters.upkeep.health_log import HealthCheck
from exporters.upkeep.import_history import History
from telemetry.cli.group import cli
from telemetry.settings import Settings
from tests import fresh
from tests.exporters.makers import KEY, SECOND, SOME_HOSTS, START, Fragment, Host, call, moment, visit

HOSTS = SOME_HOSTS

DAY = 24 * 3600 * SECOND
BEFORE = (moment(START) + timedelta(days=1)).date()
"""Runs that begin at START are archived."""


class World:
    """A host with runs, an archive, and all their rows and totals."""

    def __init__(self, host: Host, engine: Engine, directory: Path) -> None:
        self.host, self.engine, self.directory = host, engine, directory
        self.settings = Settings(database_url=host.url, hmac_key="k")

    def run(self, analysis: int | None = 1, user: int | None = 1, **known: Any) -> Snapshot:
        """One run that is over, delivered, projected and summed."""
        fragment = Fragment(analysis_id=analysis, user_id=user, **known).calls(call(), call("insights"))
        fragment.documents(visit("a.pdf", score=0.5, characters=10), visit("b.pdf", score=0.9))
        fragment.accumulator.count("fallbacks", 2)
        closing = fragment.close(candidates=2)
        self.deliver(closing)
        return closing

    def small_runs(self, number: int) -> None:
        """Runs that are over and belong to no analysis; their user is the first or the second."""
        for each in range(number):
            fragment = Fragment(user_id=1 + each % 2, kind="intake", opened_at=START + each * SECOND)
            run_storage.deliver(self.engine, fragment.calls(call()).close())
        self.settle()

    def deliver(self, snapshot: Snapshot) -> None:
        run_storage.deliver(self.engine, snapshot)
        rows = HostRows(self.engine, KEY)
        if snapshot.analysis_id is not None:
            rows.project_analysis(snapshot.analysis_id)
        if snapshot.user_id is not None:
            rows.project_user(snapshot.user_id)

    def settle(self) -> None:
        """Sum up what every analysis and every user shows."""
        rows = HostRows(self.engine, KEY)
        for analysis in {row["id"] for row in self.host.rows("analyses")}:
            rows.project_analysis(analysis)
        for user in {row["id"] for row in self.host.rows("users")}:
            rows.project_user(user)

    def archive(self, before: date = BEFORE, form: str = "csv", directory: Path | None = None) -> int:
        with Archive(self.settings, directory or self.directory, before=before, form=form) as archiving:
            return sum(archiving.work())

    def plan(self, before: date = BEFORE) -> Plan:
        with Archive(self.settings, self.directory, before=before) as archiving:
            return archiving.plan()

    def rows(self) -> Counter[str]:
        """Every row of the tables that can be archived, with each of its values."""
        return Counter(line for table in (*RUNS.tables, *LOG.tables) for line in self._lines(table))

    def _lines(self, table: sa.Table) -> Iterator[str]:
        with self.engine.connect() as connection:
            for row in exact_rows(table, connection.execute(sa.select(table)).mappings()):
                yield f"{table.name} {dict(row)}"

    def files(self, *directories: Path) -> Counter[str]:
        """Every row of the parts that are finished."""
        return Counter(
            f"{table.name} {dict(row)}"
            for directory in directories or (self.directory,)
            for part in parts_of(directory)
            for table in (*RUNS.tables, *LOG.tables)
            for form in FORMATS.values()
            if (path := part / f"{table.name}.{form.suffix}").exists()
            for row in form.rows(path, kinds_of(table))
        )

    def totals(self) -> list[list[dict[str, Any]]]:
        """What users and analyses show, in the tables of telemetry and of the host."""
        names = ("users", "analyses", "candidate_files", "telemetry_user_segments")
        return [self._view(name) for name in names]

    def _view(self, name: str) -> list[dict[str, Any]]:
        with self.host.engine.connect() as connection:
            rows = connection.execute(sa.text(f"SELECT * FROM {name}")).mappings()
            return sorted(({**row, "file_bytes": None} for row in rows), key=str)

    def recomputed(self) -> list[list[dict[str, Any]]]:
        """The same after everything that can be summed again was summed again."""
        with self.engine.begin() as connection:
            connection.execute(tables.runs.update().values(version=tables.runs.c.version + 1))
        self.settle()
        return self.totals()


def parts_of(directory: Path) -> list[Path]:
    return sorted(path for path in directory.glob("*") if path.is_dir() and not path.name.startswith("."))


@pytest.fixture
def world(host: Host, engine: Engine, tmp_path: Path) -> World:
    """Two users; the first has an old analysis with a late run, the second an old and a recent one."""
    world = World(host, engine, tmp_path / "archive")
    for user in (1, 2):
        host.add_user(user)
    for analysis, user in ((1, 1), (2, 2), (3, 2)):
        host.add_analysis(analysis, user)
        host.add_file(analysis, "a.pdf")
    world.run(1, 1)
    world.run(1, 1, kind="late", opened_at=START + 600 * SECOND)
    world.run(2, 2)
    world.run(3, 2, opened_at=START + 5 * DAY)
    world.run(None, None, kind="orphan")
    with HealthCheck(world.settings) as check:
        list(check.log(BEFORE - timedelta(days=2), BEFORE + timedelta(days=5)))
    return world


@pytest.mark.parametrize("form", ["csv", "parquet"])
def test_old_runs_and_days_move_to_the_archive(world: World, form: str) -> None:
    """Every row moves once, with every value; no total changes, now or when it is computed again."""
    before, totals = world.rows(), world.totals()
    assert world.plan() == Plan(4, 2 + 0, {}, 0)

    assert world.archive(form=form) == 6

    assert world.rows() + world.files() == before
    assert [row["analysis_ref"] for row in world.host.rows("telemetry_runs")] == [3]
    assert min(row["log_date"] for row in world.host.rows("system_health_log")) == BEFORE
    assert world.totals() == totals
    assert world.recomputed() == totals
    assert validate(world.host.url) == []
    assert world.plan() == Plan(0, 0, {}, 0)
    assert world.archive(form=form) == 0


def test_planning_changes_nothing(world: World) -> None:
    """It does not even make the directory."""
    before = world.rows()
    world.plan()
    assert world.rows() == before
    assert not world.directory.exists()


def test_a_manifest_describes_every_file(world: World) -> None:
    """It holds rows and sums of every file."""
    with world.engine.connect() as connection:
        query = sa.select(sa.func.sum(tables.runs.c.cost_pico)).where(tables.runs.c.started_at < BEFORE)
        pico = int(connection.execute(query).scalar_one())
    world.archive()
    (folder,) = world.directory.glob("runs-*")
    about = json.loads((folder / MANIFEST).read_text())["tables"]["telemetry_runs"]
    assert (about["rows"], about["cost_pico"]) == (4, pico)
    assert len(gzip.decompress((folder / about["file"]).read_bytes()).splitlines()) == 5


def test_all_runs_of_an_analysis_are_archived_together(world: World) -> None:
    """One recent run of an analysis keeps all of its runs in the database."""
    world.run(1, 1, kind="late", opened_at=START + 9 * DAY)
    assert world.plan() == Plan(2, 2, {TOGETHER: 2}, 0)
    assert world.archive() == 4
    assert sorted(row["analysis_ref"] for row in world.host.rows("telemetry_runs")) == [1, 1, 1, 3]


def test_runs_that_are_not_settled_stay(world: World) -> None:
    """A run stays while it goes on, is not shown yet or is not in its user's totals; the plan says why."""
    run_storage.deliver(world.engine, Fragment(user_id=1).snapshot())
    run_storage.deliver(world.engine, Fragment(analysis_id=99, user_id=None).close())
    run_storage.deliver(world.engine, Fragment(user_id=1, kind="intake").close())
    assert world.plan().stay == dict.fromkeys([name for name, _ in STAY], 1)
    assert world.archive() == 6
    assert len(world.host.rows("telemetry_runs")) == 4


def test_a_late_run_of_an_archived_analysis_counts_for_the_user_only(world: World) -> None:
    """The row of the analysis keeps its figures; the user's totals include the late run."""
    row = world.host.row("analyses", id=1)
    spent = world.host.row("telemetry_users", user_ref=1)["cost_pico"]
    world.archive()
    late = world.run(1, 1, kind="late", opened_at=START + 40 * DAY)
    assert world.host.row("analyses", id=1) == row
    run = world.host.row("telemetry_runs", run_id=late.run_id)
    assert run["projected_version"] == run["version"]
    person = world.host.row("telemetry_users", user_ref=1)
    assert (person["jobs"], person["cost_pico"]) == (1, spent + 2 * 210_000_000)
    assert person["last_run_at"] == moment(START + 40 * DAY)
    assert validate(world.host.url) == []


def test_an_analysis_with_the_id_of_an_archived_one_is_shown(world: World) -> None:
    """SQLite gives the id of a deleted row to a new one, which is shown as any other."""
    world.archive()
    world.host.execute("DELETE FROM candidate_files")
    world.host.execute("DELETE FROM analyses WHERE id = 1")
    world.host.add_analysis(1, 1, moment(START + 40 * DAY))
    world.run(1, 1, opened_at=START + 40 * DAY)
    assert world.host.row("analyses", id=1)["api_calls_made"] == 2


def test_a_repeated_snapshot_of_an_archived_run_changes_nothing(world: World) -> None:
    """It is accepted and brings nothing back; so is an older one."""
    closing = world.run(2, 2)
    world.archive()
    before, totals = world.rows(), world.totals()
    for again in (closing, replace(closing, seq=0), replace(closing, interrupted=True)):
        world.deliver(again)
    assert world.rows() == before
    assert world.totals() == totals


def test_a_newer_snapshot_of_an_archived_run_is_refused(world: World) -> None:
    """So is one of another fragment; the writer puts them into quarantine."""
    closing = world.run(2, 2)
    world.archive()
    before = world.rows()
    for news in (replace(closing, seq=closing.seq + 1), replace(closing, fragment_id="f" * 32)):
        with pytest.raises(ArchivedRun, match=f"run {closing.run_id} is in the archive runs-"):
            run_storage.deliver(world.engine, news)
    assert world.rows() == before


def test_retrying_drops_only_what_is_archived_already(world: World, tmp_path: Path) -> None:
    """A quarantined snapshot that is in an archive is done with; a newer one stays, and says why."""
    old, news = world.run(2, 2), world.run(2, 2)
    world.archive()
    before, totals = world.rows(), world.totals()
    keeper = SpoolKeeper(replace(world.settings, spool_dir=tmp_path / "spool"))
    quarantine(keeper.root, old, "DataError")
    quarantine(keeper.root, replace(news, seq=news.seq + 1), "DataError")
    errors = {snapshot.fragment_id: snapshot.error for snapshot in keeper.retry()}
    assert errors == {old.fragment_id: "", news.fragment_id: "ArchivedRun"}
    assert [entry.fragment_id for entry in keeper.quarantined()] == [news.fragment_id]
    assert (world.rows(), world.totals()) == (before, totals)


def test_archived_analyses_are_not_imported_as_history(world: World) -> None:
    """An analysis whose runs are archived is not one from before telemetry."""
    world.host.add_analysis(7, 1, moment(START - 100 * DAY))
    with History(world.host.url) as history:
        assert history.pending() == 1
        assert sum(history.analyses()) == 1
        world.settle()
    world.archive()
    with History(world.host.url) as history:
        assert history.pending() == 0
    world.host.add_analysis(8, 1, moment(START + DAY))
    with History(world.host.url) as history:  # telemetry's first analysis is in the archive
        assert history.pending() == 0


def test_the_daily_check_leaves_archived_days_alone(world: World) -> None:
    """Their runs are gone, so that a new check would count too little."""
    log = world.host.rows("system_health_log")
    world.archive(BEFORE)
    with HealthCheck(world.settings) as check:
        first = BEFORE - timedelta(days=3)
        checked = [day.date for day in check.log(first, BEFORE + timedelta(days=5))]
        skipped = [BEFORE - timedelta(days=2), BEFORE - timedelta(days=1)]
        assert check.archived == skipped
    assert checked == [first, *(BEFORE + timedelta(days=days) for days in range(6))]
    kept = {row["log_date"]: row["total_api_spend"] for row in world.host.rows("system_health_log")}
    assert {row["log_date"]: row["total_api_spend"] for row in log if row["log_date"] >= BEFORE}.items() <= (
        kept.items()
    )


def test_erasing_reports_what_is_archived(world: World) -> None:
    """It says how many runs of the user or analysis are in archives, which it cannot change."""
    world.archive()
    (name,) = {row["archive"] for row in world.host.rows("telemetry_archived_runs")}
    erased = erase(world.host.url, user_id=1)
    assert (erased.runs, erased.archived_runs, erased.archives) == (0, 2, (name,))
    assert erase(world.host.url, analysis_id=2).archived_runs == 1
    assert erase(world.host.url, analysis_id=3).archives == ()
    shown = CliRunner().invoke(cli, ["erase", "--user", "1"], env={"TELEMETRY_DATABASE_URL": world.host.url})
    assert f"Archives, which this does not change, hold 2 more runs: {name}." in shown.output


def test_archives_hold_no_names(world: World) -> None:
    """They hold ids and hashes only."""
    world.archive()
    for path in world.directory.rglob("*.gz"):
        text = gzip.decompress(path.read_bytes()).decode()
        assert "example.com" not in text
        assert ".pdf" not in text


def test_a_run_that_changes_during_archiving_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The part that is being written does not include it."""
    before, rename = world.rows(), archive_part.rename

    def changed(old: Path, new: Path) -> None:
        rename(old, new)
        if new.name.startswith(".runs"):
            world.host.execute("UPDATE telemetry_runs SET seen_at = NULL WHERE analysis_ref = 1")

    monkeypatch.setattr(module, "rename", changed)
    assert world.archive() == 4
    assert sorted(row["analysis_ref"] for row in world.host.rows("telemetry_runs")) == [1, 1, 3]
    assert sum(world.files().values()) + sum(world.rows().values()) == sum(before.values())
    monkeypatch.undo()
    assert world.archive() == 2


@pytest.mark.parametrize("host", ["psycopg2", "psycopg"], indirect=True)
def test_a_locked_run_is_left_for_later(world: World) -> None:
    """Archiving does not wait for the lock: the other runs move."""
    before = world.rows()
    with world.host.holding("SELECT 1 FROM telemetry_runs WHERE analysis_ref = 2 FOR UPDATE"):
        assert world.archive() == 5
    assert world.rows() + world.files() == before
    assert world.archive() == 1


def test_two_archiving_processes_share_the_work(
    world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do so in two directories; in one and the same, the second is refused."""
    world.small_runs(40)
    before = world.rows()
    monkeypatch.setattr(module, "BATCH", 1)
    places = [tmp_path / name for name in ("a", "b")]
    threads = [threading.Thread(target=world.archive, kwargs={"directory": place}) for place in places]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert world.rows() + world.files(*places) == before
    assert world.plan() == Plan(0, 0, {}, 0)

    with Archive(world.settings, places[0], before=BEFORE) as first:
        world.run(None, 1, kind="intake")
        steps = first.work()
        next(steps)
        with pytest.raises(ArchiveError, match="another process archives to"):
            world.archive(directory=places[0])
        assert sum(steps) == 0


def test_an_unfinished_part_of_another_database_is_not_touched(world: World, tmp_path: Path) -> None:
    """Archiving to that directory is refused."""
    with Archive(world.settings, world.directory, before=BEFORE) as broken_off:
        next(broken_off.work())
    (left,) = [*world.directory.glob(".*.complete")]
    other = replace(world.settings, database_url=f"sqlite:///{tmp_path}/other.sqlite")
    with Archive(other, world.directory, before=BEFORE) as archiving:
        with pytest.raises(ArchiveError, match="begun for another database"):
            list(archiving.work())
    assert left.exists()


def test_a_damaged_file_stops_archiving(world: World) -> None:
    """Nothing more is deleted, and the error says what to do."""
    with Archive(world.settings, world.directory, before=BEFORE) as broken_off:
        next(broken_off.work())
    (left,) = [*world.directory.glob(".*.complete")]
    (file, *_) = left.glob("*.gz")
    file.write_bytes(file.read_bytes()[:-4])
    before = world.rows()
    with pytest.raises(ArchiveError, match="is damaged .*: bring it back from a backup"):
        world.archive()
    assert world.rows() == before


@pytest.mark.parametrize("content", ["\nnot JSON", "[]", "{}", '{"contents": "x", "database": ""}', None])
def test_a_damaged_manifest_stops_archiving(world: World, content: str | None) -> None:
    """The error names it and says what to do; nothing is changed."""
    with Archive(world.settings, world.directory, before=BEFORE) as broken_off:
        next(broken_off.work())
    (manifest,) = world.directory.glob(f".*.complete/{MANIFEST}")
    if content is None:
        manifest.unlink()
    else:
        manifest.write_text(content)
    before = world.rows()
    with pytest.raises(ArchiveError, match=f"{manifest} is damaged .*: bring it back from a backup"):
        world.archive()
    assert world.rows() == before
    assert manifest.parent.exists()


def test_files_of_others_in_the_directory_are_left_alone(world: World) -> None:
    """Hidden files and folders that archiving did not make stay, and do not disturb it."""
    strange = (".thesis.new", ".other.complete", ".runs-2026-11-01-notours.new")
    for name in strange:
        (world.directory / name).mkdir(parents=True)
        (world.directory / name / "thesis.txt").write_text("all there is")
    files = (".month.csv.new", ".runs-2026-11-01-0123abcd.new", ".log-2026-11-01-0123abcd.complete")
    for name in files:
        (world.directory / name).write_text("theirs")
    unfinished_part = world.directory / ".runs-2026-11-01-0123abcd.new"
    unfinished_part.unlink()
    unfinished_part.mkdir()

    assert world.plan().unfinished == 0
    assert world.archive() == 6
    assert not unfinished_part.exists()
    for name in strange:
        assert (world.directory / name / "thesis.txt").read_text() == "all there is"
    assert (world.directory / files[0]).exists()
    assert (world.directory / files[2]).exists()


def test_archiving_that_is_killed_loses_no_row(world: World) -> None:
    """SIGKILL comes a step later each time, until the process ends before it."""
    world.small_runs(60)
    before, totals = world.rows(), world.totals()
    for steps in range(1, 100):
        options = (world.host.url, str(world.directory), f"{BEFORE}", f"{steps}")
        done = fresh.run("-c", PROGRAM, *options, cwd=world.directory.parent)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        if done.returncode == 0:
            break
    world.archive()
    assert world.rows() + world.files() == before
    assert world.recomputed() == totals
    assert steps > 3


PROGRAM = """
import os, signal, sys
from datetime import date
from pathlib import Path
from exporters.archive import archive
from telemetry.settings import Settings

url, directory, before, steps = sys.argv[1:]
left = int(steps)

def step():
    global left
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)

archive.PART, archive.CHUNK, archive.BATCH = 20, 10, 5
fsync = os.fsync
os.fsync = lambda file: (fsync(file), step())
settings, before = Settings(database_url=url), date.fromisoformat(before)
with archive.Archive(settings, Path(directory), before=before) as archiving:
    for _ in archiving.work():
        step()
"""


def test_the_archive_command_applies_only_on_request(world: World) -> None:
    """It counts, archives with --apply, and refuses days that are not over."""
    environment = {"TELEMETRY_DATABASE_URL": world.host.url}
    place = str(world.directory)

    def invoke(*options: str) -> Any:
        return CliRunner().invoke(cli, ["archive", place, *options], env=environment)

    counted = invoke("--before", f"{BEFORE}")
    assert counted.output == (
        f"4 runs and 2 days of the log before {BEFORE}.\nNothing was archived; --apply archives.\n"
    )
    assert json.loads(invoke("--before", f"{BEFORE}", "--json").output)["runs"] == 4
    done = invoke("--before", f"{BEFORE}", "--apply")
    names = ", ".join(part.name for part in parts_of(world.directory))
    assert done.exit_code == 0
    assert done.output.endswith(f"6 runs and days archived in {place}: {names}.\n")
    assert invoke().exit_code == 2
    assert invoke("--before", "2999-01-01").exit_code == 2
    assert invoke("--before", "2026-01-01", "--older-than", "3").exit_code == 2
    assert "0 runs and 0 days" in invoke("--older-than", "30000").output


def test_parquet_without_its_extra_is_refused(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """One line names the extra, before anything is done."""
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    environment = {"TELEMETRY_DATABASE_URL": world.host.url}
    options = ["archive", str(world.directory), "--older-than", "1", "--format", "parquet", "--apply"]
    done = CliRunner().invoke(cli, options, env=environment)
    assert done.exit_code == 1
    assert done.output.startswith("Error: Parquet needs analysis-telemetry[parquet] (")
    assert not world.directory.exists()
