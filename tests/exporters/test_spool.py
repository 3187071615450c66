"""The spool keeps snapshots for the database beyond the end of their process."""

from __future__ import annotations

import os
import resource
import shutil
import subprocess
import sys
import textwrap
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from exporters.metrics.totals import Totals
from exporters.rollup.snapshot import SCHEMA_VERSION, Snapshot
from exporters.spool.directory import Spool
from exporters.spool.entry import Entry
from exporters.spool.quarantine import quarantined
from telemetry.conventions import SPOOL_SHED
from telemetry.settings import Settings
from tests.exporters.makers import Fragment, call, visit
from tests.spool import files

ROOT = Path(__file__).parents[2]

PROCESS = """
    import os, sys
    from pathlib import Path
    from exporters.rollup.snapshot import Snapshot
    from exporters.spool.directory import Spool
    from exporters.metrics.totals import Totals
    from telemetry.settings import Settings

    spool = Spool(Settings(spool_dir=Path(sys.argv[1])), Totals())
    for line in sys.stdin:
        spool.put(Snapshot.from_json(line))
        print(spool.process_id, flush=True)
"""
"""Another process that spools every snapshot it reads, and lives until it is killed."""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    return tmp_path / "spool"


def spool_in(directory: Path, max_bytes: int = 2**20) -> Spool:
    return Spool(Settings(spool_dir=directory, spool_max_bytes=max_bytes), Totals())


@pytest.fixture
def spool(directory: Path) -> Iterator[Spool]:
    spool = spool_in(directory)
    yield spool
    spool.close()


@contextmanager
def other_process(directory: Path) -> Iterator[subprocess.Popen[str]]:
    process = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(PROCESS), str(directory)],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    with process:
        try:
            yield process
        finally:
            process.kill()


def give(process: subprocess.Popen[str], *snapshots: Snapshot) -> str:
    """Make the other process spool these snapshots; return its id."""
    assert process.stdin and process.stdout
    name = ""
    for snapshot in snapshots:
        process.stdin.write(snapshot.to_json() + "\n")
        process.stdin.flush()
        name = process.stdout.readline().strip()
    return name


def kill(process: subprocess.Popen[str]) -> None:
    process.kill()
    process.wait()


def leave_behind(directory: Path, *snapshots: Snapshot) -> str:
    """Spool these snapshots in a process that is then killed; return its id."""
    with other_process(directory) as process:
        name = give(process, *snapshots)
        kill(process)
    return name


def move_to_spool_of(settings: Settings, name: str) -> str:
    """Move the directory of a process to those of the database in the settings; return its name."""
    (made_in,) = settings.spool_dir.glob(f"*/{name}")
    target = settings.spool_dir / settings.spool_key()
    target.mkdir(exist_ok=True)
    made_in.rename(target / name)
    return name


def take_over_all(spool: Spool) -> list[Entry]:
    """Take over and deliver all entries of dead processes, as the writer does; return them."""
    entries: list[Entry] = []
    for dead in spool.takeovers():
        for snapshot in dead.entries():
            entries.append(snapshot)
            dead.delivered(snapshot)
        dead.finish()
    return entries


def test_a_newer_snapshot_replaces_an_older_one(spool: Spool, directory: Path) -> None:
    """A fragment has one file with its newest snapshot; an older one that comes late changes nothing."""
    fragment = Fragment()
    old, new = fragment.snapshot(), fragment.calls(call()).snapshot()
    for snapshot in (old, new, old):
        spool.put(snapshot)

    (path,) = directory.rglob("*.json")
    assert Snapshot.from_json(path.read_text()) == new
    assert [waiting.entry for waiting in spool.due()] == [new]
    assert (spool.pending(), spool.oldest_age() > 0) == (1, True)


def test_closed_fragments_can_be_unloaded_from_memory(spool: Spool, directory: Path) -> None:
    """During an outage they are on the disk only; open ones stay in memory, as they change soon."""
    ended, under_way = Fragment().calls(call()).close(), Fragment().snapshot()
    for snapshot in (ended, under_way):
        spool.put(snapshot)
    spool.unload()

    assert [waiting.entry for waiting in spool.due()] == [None, under_way]
    assert [spool.newest(waiting) for waiting in spool.due()] == [ended, under_way]
    spool.delivered(ended)
    assert files(directory) == [f"{under_way.fragment_id}.json"]


def test_an_entry_that_the_disk_refused_is_not_unloaded(spool: Spool, directory: Path) -> None:
    """The only copy is in memory."""
    ended = Fragment().close()
    directory.mkdir()
    spool.root.write_text("no directory")
    with pytest.raises(OSError):
        spool.put(ended)
    spool.unload()

    assert [spool.newest(waiting) for waiting in spool.due()] == [ended]


def test_a_refused_entry_is_written_later(spool: Spool, directory: Path) -> None:
    """The spool recovers when no file descriptor was free between its directory and the lock."""
    first, second = Fragment().close(), Fragment().close()
    spool.root.mkdir(parents=True)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            spool.put(first)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    spool.put(second)

    assert files(directory) == [f"{second.fragment_id}.json"]
    assert [spool.newest(waiting) for waiting in spool.due()] == [first, second]


def test_a_directory_that_was_removed_is_made_again(spool: Spool, directory: Path) -> None:
    """A cleaner of temporary directories removes old entries, but later ones are written again."""
    spool.put(Fragment().snapshot())
    shutil.rmtree(directory)
    ended = Fragment().close()
    spool.put(ended)

    assert files(directory) == [f"{ended.fragment_id}.json"]


def test_entries_of_a_removed_directory_stay_in_memory(spool: Spool, directory: Path) -> None:
    """They have no other copy, and are not unloaded."""
    before, after = Fragment().close(), Fragment().close()
    spool.put(before)
    shutil.rmtree(directory)
    spool.put(after)
    spool.unload()

    assert [spool.newest(waiting) for waiting in spool.due()] == [before, after]


@pytest.mark.parametrize("damage", [Path.unlink, lambda path: path.write_text("{")], ids=["gone", "damaged"])
def test_a_file_that_is_removed_or_damaged_is_reported_and_skipped(
    spool: Spool, directory: Path, damage: Callable[[Path], object], caplog: pytest.LogCaptureFixture
) -> None:
    """One line names it, and other entries are delivered."""
    spool.put(Fragment().close())
    spool.unload()
    (path,) = directory.rglob("*.json")
    damage(path)

    (waiting,) = spool.due()
    assert spool.newest(waiting) is None
    assert spool.due() == []
    (message,) = caplog.messages
    assert path.name in message


def test_closed_fragments_are_delivered_first(spool: Spool) -> None:
    """Final snapshots come before checkpoints, both by age."""
    open_one, open_two, ended = Fragment(), Fragment(), Fragment()
    for snapshot in (open_one.snapshot(), open_two.snapshot(), ended.close()):
        spool.put(snapshot)
    spool.put(open_one.snapshot())

    ids = [waiting.fragment_id for waiting in spool.due()]
    assert ids == [fragment.accumulator.facts.fragment_id for fragment in (ended, open_one, open_two)]


def test_the_file_of_an_open_fragment_stays_until_its_final_snapshot_is_delivered(
    spool: Spool, directory: Path
) -> None:
    """A delivered checkpoint is not due again, but its file is needed if the process dies."""
    fragment = Fragment()
    checkpoint = fragment.snapshot()
    spool.put(checkpoint)
    spool.delivered(checkpoint)
    assert (spool.pending(), len(files(directory))) == (0, 1)

    final = fragment.close()
    spool.put(final)
    spool.delivered(checkpoint)
    assert (spool.pending(), len(files(directory))) == (1, 1)

    spool.delivered(final)
    assert (spool.pending(), files(directory)) == (0, [])


def shed(spool: Spool) -> dict[str, int]:
    return {labels["what"]: count for labels, count in spool._totals.read(SPOOL_SHED)}


def test_a_full_spool_sheds_checkpoints_first(directory: Path) -> None:
    """A checkpoint beyond the limit is not written, but still waits in memory."""
    spool = spool_in(directory, max_bytes=1024)
    first, second = Fragment().snapshot(), Fragment().snapshot()
    spool.put(first)
    spool.put(second)

    assert len(files(directory)) == 1
    assert shed(spool) == {"checkpoint": 1}
    assert sorted(waiting.fragment_id for waiting in spool.due()) == sorted(
        [first.fragment_id, second.fragment_id]
    )
    spool.close()


def test_checkpoints_make_room_for_a_final_snapshot(directory: Path) -> None:
    """Files of open runs are removed before documents of a closed run are shed; they wait in memory."""
    documents = [visit(f"cv {number}", size=number) for number in range(5)]
    final = Fragment().calls(call()).documents(*documents).close()
    open_ones = [Fragment().snapshot() for _ in range(3)]
    room = len(final.to_json()) + len(open_ones[0].to_json())
    spool = spool_in(directory, max_bytes=room + 20)
    for snapshot in (*open_ones, final):
        spool.put(snapshot)
    on_disk = [Snapshot.from_json(path.read_text()) for path in directory.rglob("*.json")]

    assert final in on_disk and len(on_disk) == 2
    assert sum(path.stat().st_size for path in directory.rglob("*.json")) <= room + 20
    assert shed(spool)["checkpoint"] >= 1 and "documents" not in shed(spool)
    assert len(spool.due()) == 4
    spool.put(Fragment().snapshot())
    for snapshot in (*open_ones, final):
        spool.delivered(snapshot)
    spool.close()


def test_the_limit_is_for_all_processes(directory: Path) -> None:
    """Entries of another process leave less room for this one."""
    of_other, own = Fragment().snapshot(), Fragment().snapshot()
    spool = spool_in(directory, max_bytes=len(of_other.to_json()) + len(own.to_json()) // 2)
    with other_process(directory) as process:
        give(process, of_other)
        spool.measure()
        spool.put(own)

        assert files(directory) == [f"{of_other.fragment_id}.json"]
        assert shed(spool) == {"checkpoint": 1}
    for snapshot in take_over_all(spool):
        assert snapshot.fragment_id == of_other.fragment_id
    spool.measure()
    spool.put(Fragment().snapshot())
    assert len(files(directory)) == 1
    spool.close()


def test_a_full_spool_sheds_documents_next(directory: Path) -> None:
    """A final snapshot beyond the limit is kept without its documents, which are counted."""
    spool = spool_in(directory, max_bytes=1024)
    final = Fragment().calls(call()).documents(*(visit(f"cv {n}", size=n) for n in range(20))).close()
    spool.put(final)
    (path,) = directory.rglob("*.json")
    kept = Snapshot.from_json(path.read_text())

    assert (kept.documents, kept.shed, kept.usage) == ([], 20, final.usage)
    assert shed(spool) == {"documents": 1}
    assert spool.due()[0].entry == kept
    spool.close()


def test_final_totals_are_never_shed(directory: Path) -> None:
    """However full the spool is, final snapshots are kept."""
    spool = spool_in(directory, max_bytes=1024)
    finals = [Fragment().calls(call()).close() for _ in range(10)]
    for final in finals:
        spool.put(final)

    assert files(directory) == sorted(f"{final.fragment_id}.json" for final in finals)
    assert shed(spool) == {}
    spool.close()


def test_deliveries_make_room_again(directory: Path) -> None:
    """Delivered entries make room for checkpoints, and entries that are only in memory take none."""
    room = 2 * len(Fragment().calls(call()).snapshot().to_json()) + 20
    spool = spool_in(directory, max_bytes=room)
    fragments = [Fragment() for _ in range(5)]
    for stage in ("ranking", "insights", "embedding"):
        for fragment in fragments:
            spool.put(fragment.calls(call(stage)).snapshot())
            on_disk = sum(path.stat().st_size for path in directory.rglob("*.json"))
            assert on_disk <= room
    for fragment in fragments:
        final = fragment.close()
        spool.put(final)
        spool.delivered(final)
    assert files(directory) == []
    spool.put(Fragment().snapshot())

    assert len(files(directory)) == 1
    spool.close()


def test_the_directory_of_a_living_process_is_left_alone(spool: Spool, directory: Path) -> None:
    """Its entries are not taken over while it lives."""
    with other_process(directory) as process:
        give(process, Fragment().snapshot())

        assert spool.has_other_directories()
        assert take_over_all(spool) == []
        assert len(files(directory)) == 1


def test_the_entries_of_a_killed_process_are_taken_over(spool: Spool, directory: Path) -> None:
    """Final snapshots are delivered as they are, checkpoints as interrupted."""
    ended, open_ = Fragment().calls(call()).close(), Fragment().calls(call()).snapshot()
    name = leave_behind(directory, ended, open_)

    assert [dead.process_id for dead in spool.takeovers()] == [name]
    by_fragment = {snapshot.fragment_id: snapshot for snapshot in take_over_all(spool)}
    assert by_fragment == {
        ended.fragment_id: ended,
        open_.fragment_id: replace(open_, interrupted=True),
    }
    assert not spool.has_other_directories(), "nothing is left of it"


@pytest.mark.parametrize("quiet_for", [3000, 4000])
def test_a_directory_without_a_lock_is_taken_over_after_an_hour(
    spool: Spool, directory: Path, quiet_for: int
) -> None:
    """A cleaner of old files may remove the lock; a directory unchanged for an hour is of a dead process."""
    final = Fragment().close()
    name = leave_behind(directory, final)
    (spool.root / name / "lock").unlink()
    then = time.time() - quiet_for
    for path in (spool.root / name).iterdir():
        os.utime(path, (then, then))
    assert take_over_all(spool) == [], "the directory itself was changed a moment ago"
    os.utime(spool.root / name, (then, then))

    assert take_over_all(spool) == ([final] if quiet_for > 3600 else [])
    assert spool.has_other_directories() == (quiet_for < 3600)


def test_a_lock_in_use_is_touched_every_hour(spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    """So a cleaner of old files does not remove it."""
    now = time.monotonic()
    lock = spool.directory() / "lock"

    def age_after(seconds: float) -> float:
        os.utime(lock, (0, 0))
        monkeypatch.setattr(time, "monotonic", lambda: now + seconds)
        spool.put(Fragment().snapshot())
        return time.time() - lock.stat().st_mtime

    assert age_after(0) < 60
    assert age_after(3000) > 60
    assert age_after(3700) < 60


def test_entries_that_were_not_delivered_stay(spool: Spool, directory: Path) -> None:
    """A takeover that cannot deliver, as when the database is down, loses nothing."""
    entries = [Fragment().close() for _ in range(3)]
    leave_behind(directory, *entries)
    for dead in spool.takeovers():
        dead.delivered(next(iter(dead.entries())))
        dead.finish()

    assert len(take_over_all(spool)) == 2


@pytest.mark.parametrize("content", ["", '{"schema":1,"run_', "not JSON", "[1, 2]", '{"some": "file"}'])
def test_a_file_that_is_no_snapshot_is_set_aside(
    spool: Spool, directory: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A truncated or foreign file is kept for a person to look at, and other entries are delivered."""
    final = Fragment().close()
    name = leave_behind(directory, final)
    (spool.root / name / "foreign.json").write_text(content)

    assert take_over_all(spool) == [final]
    assert (spool.root / "unreadable" / "foreign.json").read_text() == content
    assert not (spool.root / name).exists()
    assert "foreign.json" in caplog.text


def test_a_snapshot_of_a_newer_version_stays(spool: Spool, directory: Path) -> None:
    """It stays where it is, until a process of that version takes it over."""
    final = Fragment().close()
    name = leave_behind(directory, final)
    newer = spool.root / name / "newer.json"
    newer.write_text(final.to_json().replace(f'"schema":{SCHEMA_VERSION}', '"schema":99'))

    assert take_over_all(spool) == [final]
    assert newer.exists()


def test_a_forked_child_does_not_release_its_parents_lock(directory: Path) -> None:
    """A child starts with an empty directory of another name, and its end leaves the parent's locked."""
    spool = spool_in(directory)
    spool.put(Fragment().snapshot())
    parent = spool.process_id
    child = os.fork()
    if child == 0:
        try:
            spool.after_fork()
            ok = not spool.due() and spool.process_id != parent and take_over_all(spool) == []
            spool.put(Fragment().snapshot())
            os._exit(0 if ok else 1)
        finally:
            os._exit(2)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0

    with other_process(directory) as process:
        give(process, Fragment().snapshot())
        code = f"""
            from tests.exporters.test_spool import *
            names = [dead.process_id for dead in spool_in(Path({str(directory)!r})).takeovers()]
            assert len(names) == 1 and {parent!r} not in names, names
        """
        subprocess.run([sys.executable, "-c", textwrap.dedent(code)], cwd=ROOT, check=True, timeout=300)
    spool.close()


def test_two_takeovers_at_once_deliver_each_fragment_once(directory: Path) -> None:
    """The two processes share the work, and neither fails."""
    entries = [Fragment().close() for _ in range(12)]
    for position in range(0, 12, 6):
        leave_behind(directory, *entries[position : position + 6])
    code = f"""
        from tests.exporters.test_spool import *
        for snapshot in take_over_all(spool_in(Path({str(directory)!r}))):
            print(snapshot.fragment_id)
    """

    def recover(_: int) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-c", textwrap.dedent(code)],
            cwd=ROOT,
            check=True,
            timeout=300,
            capture_output=True,
            text=True,
        )
        return done.stdout.split()

    with ThreadPoolExecutor(2) as pool:
        delivered = [name for names in pool.map(recover, range(2)) for name in names]

    assert sorted(delivered) == sorted(snapshot.fragment_id for snapshot in entries)


def test_closing_leaves_no_empty_directory(spool: Spool, directory: Path) -> None:
    """A process that has delivered everything removes its directory."""
    final = Fragment().close()
    spool.put(final)
    spool.delivered(final)
    assert any(spool.root.iterdir())
    spool.close()

    assert not any(spool.root.iterdir())


def test_closing_keeps_entries_that_wait(directory: Path) -> None:
    """The next process takes over what this one could not deliver."""
    spool, final = spool_in(directory), Fragment().close()
    spool.put(final)
    spool.close()

    next_one = spool_in(directory)
    assert take_over_all(next_one) == [final]
    next_one.close()


def test_databases_do_not_share_a_spool(tmp_path: Path) -> None:
    """Entries for one database are not taken over by a process that writes to another."""

    def spool_for(url: str) -> Spool:
        return Spool(Settings(spool_dir=tmp_path, database_url=url), Totals())

    spool = spool_for("postgresql://ada:secret@db.example/one")
    spool.put(Fragment().close())
    spool.close()

    assert not spool_for("postgresql://ada:secret@db.example/two").has_other_directories()
    same = spool_for("postgresql+psycopg://bob:changed@db.example/one")
    assert same.has_other_directories(), "a new password or driver is still the same database"
    assert "secret" not in str(spool.root)


def test_quarantined_snapshots_are_kept_and_counted(spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    """A snapshot that the database refuses for good is put into quarantine, and a line names its run."""
    final = Fragment().close()
    spool.put(final)
    spool.quarantine(final, "DataError")

    assert (spool.pending(), spool.dead()) == (0, 1)
    (refused,) = quarantined(spool.root)
    assert (refused.read(), refused.reason, refused.fragment_id) == (
        final,
        "DataError",
        final.fragment_id,
    )
    assert final.run_id in caplog.text


def test_a_state_that_is_newer_than_a_refused_one_still_waits(spool: Spool) -> None:
    """A run may end while an earlier state of it is on its way into quarantine, and follow it there."""
    fragment = Fragment()
    earlier = fragment.snapshot()
    spool.put(earlier)
    final = fragment.close()
    spool.put(final)
    spool.quarantine(earlier, "DataError")

    assert [waiting.entry for waiting in spool.due()] == [final]
    spool.quarantine(final, "DataError")
    assert spool.due() == []
    assert [refused.read() for refused in quarantined(spool.root)] == [final]


def test_a_disk_that_refuses_keeps_the_snapshot_in_memory(tmp_path: Path) -> None:
    """It still waits for the database."""
    (tmp_path / "file").write_text("in the way")
    spool, final = spool_in(tmp_path / "file"), Fragment().close()
    with pytest.raises(OSError):
        spool.put(final)

    assert [waiting.entry for waiting in spool.due()] == [final]
    spool.delivered(final)
    assert spool.due() == []


def test_the_port_of_the_listener_is_published(spool: Spool) -> None:
    """The port of a process's metrics is in its directory."""
    spool.publish_port(4711)

    assert (spool.directory() / "metrics-port").read_text().strip() == "4711"
