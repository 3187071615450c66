"""The spool accepts no file that another local user may have put there, and no other user can read it."""

from __future__ import annotations

import json
import os
import socket
import stat
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as at_most
from hypothesis import strategies as st

import telemetry
from exporters.metrics.totals import Totals
from exporters.spool.directory import Spool
from telemetry.conventions import SPOOL_UNREADABLE
from telemetry.settings import Settings, default_spool_dir
from telemetry.testing import recording
from tests.choice import whole_matrix
from tests.exporters.makers import Fragment, Host, call, visit
from tests.waiting import until

ROOT = Path(__file__).parents[2]
ANOTHER_USER_ID = 54321
"""The id of another user; only root can make it the owner of a file."""
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can make files of another user")


class Place:
    """The spool of an application whose process has died and left one valid run."""

    def __init__(self, host: Host, folder: Path) -> None:
        self.host = host
        self.settings = Settings(
            database_url=host.url, spool_dir=folder / "spool", hmac_key="k", heartbeat_seconds=0.1
        )
        self.good = Fragment(kind="intake").calls(call()).close()
        spool = Spool(self.settings, Totals())
        spool.put(self.good)
        self.dead = spool.directory()
        self.file = self.dead / f"{self.good.fragment_id}.json"
        spool.close()

    def forge(self, **changes: Any) -> Path:
        """Write a forged snapshot, of a run for $999, with these changes; return its file."""
        forged = Fragment(kind="intake", user_id=2).calls(call(pico=999 * 10**12)).close()
        file = self.dead / f"{forged.fragment_id}.json"
        file.write_text(json.dumps({**json.loads(forged.to_json()), **changes}))
        file.chmod(0o600)
        return file

    def take_over(self) -> list[str]:
        """Take over in a process with a run of its own; return the other runs in the database."""
        with recording(self.settings) as pipeline:
            until(lambda: self.good.run_id in self.runs())
            with telemetry.run("intake") as own:
                pass
            until(lambda: own.run_id in self.runs())
            self.unreadable = list(pipeline.spool.unreadable())
        return [run for run in self.runs() if run != own.run_id]

    def runs(self) -> list[str]:
        return [row["run_id"] for row in self.host.rows("telemetry_runs")]


@pytest.fixture
def place(sqlite_host: Host, tmp_path: Path) -> Place:
    return Place(sqlite_host, tmp_path)


def as_file_of_another_user(file: Path) -> None:
    os.chown(file, ANOTHER_USER_ID, ANOTHER_USER_ID)


def as_a_link(file: Path) -> None:
    elsewhere = file.parent.parent.parent / file.name
    file.rename(elsewhere)
    file.symlink_to(elsewhere)


def as_a_fifo(file: Path) -> None:
    file.unlink()
    os.mkfifo(file, 0o600)


def as_a_socket(file: Path) -> None:
    file.unlink()
    here = Path.cwd()
    os.chdir(file.parent)  # the path of a socket is short
    try:
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(file.name)
    finally:
        os.chdir(here)


def as_a_directory(file: Path) -> None:
    file.unlink()
    file.mkdir()
    (file / "inside.json").write_text("{}")


def as_a_device(file: Path) -> None:
    file.unlink()
    try:
        os.mknod(file, stat.S_IFCHR | 0o600, os.makedev(1, 5))  # /dev/zero, which never ends
    except PermissionError:
        pytest.skip("devices cannot be made here")


def as_under_another_name(file: Path) -> None:
    file.rename(file.with_name(f"{'0' * 32}.json"))


def as_writable(file: Path) -> None:
    file.chmod(0o666)


def as_writable_by_the_group(file: Path) -> None:
    file.chmod(0o660)


def as_large(file: Path) -> None:
    with file.open("ab") as opened:
        opened.truncate(3 * 2**30)


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(as_file_of_another_user, marks=AS_ROOT),
        as_a_link,
        as_a_fifo,
        as_a_socket,
        as_a_directory,
        as_a_device,
        as_under_another_name,
        as_writable,
        as_writable_by_the_group,
        as_large,
    ],
)
def test_a_file_that_telemetry_cannot_have_written_is_set_aside(
    place: Place, change: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """One line names it, it is counted, and nothing waits for it."""
    file = place.forge()
    before = {path.name for path in place.dead.iterdir()}
    change(file)
    (name,) = {path.name for path in place.dead.iterdir()} - (before - {file.name})
    started = time.monotonic()

    assert place.take_over() == [place.good.run_id]
    assert time.monotonic() - started < 30, "nothing blocks"
    assert [path.name for path in place.unreadable] == [name]
    assert len([line for line in caplog.messages if name in line]) == 1
    assert not place.dead.exists()


IDS = ["../../../../victim", "a/b", "", "A" * 32, "0" * 31, 7, None, ["0" * 32], "0" * 32 + "\n"]


@pytest.mark.parametrize("name", ["fragment_id", "run_id"])
@pytest.mark.parametrize("value", IDS)
def test_forged_ids_are_not_used_as_paths_or_keys(
    place: Place, name: str, value: object, tmp_path: Path
) -> None:
    """None of them leads out of the directory, and their snapshots are set aside."""
    victim = tmp_path / "victim.json"
    victim.write_text("the host's")
    file = place.forge(**{name: value})

    assert place.take_over() == [place.good.run_id]
    assert victim.read_text() == "the host's"
    assert [path.name for path in place.unreadable] == [file.name]


def test_links_and_foreign_directories_are_left_alone(
    place: Place, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    """So are the files in them; one line names a link."""
    elsewhere = tmp_path / ("e" * 32)
    place.dead.parent.rename(tmp_path / "kept")
    (tmp_path / "kept").rename(place.dead.parent)
    elsewhere.mkdir(0o700)
    place.forge().rename(elsewhere / "x.json")
    (place.dead.parent / ("f" * 32)).symlink_to(elsewhere)
    (place.dead.parent / "notes").mkdir()
    os.mkfifo(place.dead.parent / ("d" * 32))

    assert place.take_over() == [place.good.run_id]
    assert (elsewhere / "x.json").exists() and (place.dead.parent / "notes").exists()
    assert len([line for line in caplog.messages if "f" * 32 in line]) == 1


@pytest.mark.parametrize(
    "change", [as_a_link, as_a_fifo, pytest.param(as_file_of_another_user, marks=AS_ROOT)]
)
def test_a_directory_with_a_foreign_lock_is_left_alone(
    place: Place, change: Callable[[Path], None], caplog: pytest.LogCaptureFixture
) -> None:
    """Such a lock does not show whether the process is dead; one line names the directory."""
    other = Place(place.host, place.settings.spool_dir.parent)
    change(other.dead / "lock")

    assert place.take_over() == [place.good.run_id]
    assert other.file.exists()
    assert len([line for line in caplog.messages if other.dead.name in line]) == 1


@AS_ROOT
def test_root_leaves_directories_of_other_users_alone(place: Place, caplog: pytest.LogCaptureFixture) -> None:
    """Root could read them, but their owner decides what is in them."""
    other = Place(place.host, place.settings.spool_dir.parent)
    os.chown(other.dead, ANOTHER_USER_ID, ANOTHER_USER_ID)

    assert place.take_over() == [place.good.run_id]
    assert other.file.exists()
    assert len([line for line in caplog.messages if other.dead.name in line]) == 1


def test_files_of_one_name_are_both_set_aside(place: Place) -> None:
    """The earlier one keeps its name."""
    aside = place.dead.parent / "unreadable"
    aside.mkdir(0o700)
    file = place.forge(kind=None)
    (aside / file.name).write_text("an earlier one")

    assert place.take_over() == [place.good.run_id]
    assert len(place.unreadable) == 2
    assert (aside / file.name).read_text() == "an earlier one"


@pytest.mark.internal_errors
def test_a_file_that_cannot_be_set_aside_stays(place: Place) -> None:
    """It is not read, and other entries are delivered."""
    (place.dead.parent / "unreadable").symlink_to(place.dead)
    file = place.forge(kind=None)

    assert place.take_over() == [place.good.run_id]
    assert file.exists()


def modes(folder: Path) -> dict[str, int]:
    paths = [folder, *folder.rglob("*")]
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.stat().st_mode)
        for path in paths
        if (path.is_dir() and path.stat().st_mode & 0o077)
        or (path.is_file() and stat.S_IMODE(path.stat().st_mode) != 0o600)
    }


@pytest.mark.parametrize("umask", [0o000, 0o022, 0o777])
def test_no_other_user_can_read_the_spool(sqlite_host: Host, tmp_path: Path, umask: int) -> None:
    """Directories have mode 0700 and files 0600, up to the quarantine, whatever the umask."""
    spool_dir = tmp_path / "made" / "by" / "us"
    chosen = Settings(database_url=sqlite_host.url, spool_dir=spool_dir)
    before = os.umask(umask)
    try:
        spool, refused, kept = Spool(chosen, Totals()), Fragment().close(), Fragment().close()
        for item in (refused, kept):
            spool.put(item)
        spool.quarantine(refused, "DataError")
        spool.publish_port(4711)
        damaged = spool.directory() / f"{'0' * 32}.json"
        damaged.write_text("{")
        damaged.chmod(0o644)
        spool.close()
        for dead in Spool(chosen, Totals()).takeovers():
            assert list(dead.entries()) == [kept]
    finally:
        os.umask(before)

    assert modes(tmp_path / "made") == {}
    names = {path.name for path in (tmp_path / "made").rglob("*")}
    assert {"dead", "unreadable", damaged.name, "metrics-port", f"{refused.fragment_id}.reason"} <= names


def test_wider_modes_are_narrowed(place: Place) -> None:
    """Telemetry's own directories get 0700, if an earlier version made them with more."""
    for folder in (place.dead.parent, place.dead.parent / "dead"):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
    spool = Spool(place.settings, Totals())
    spool.put(Fragment().close())
    spool.quarantine(Fragment().close(), "DataError")

    assert stat.S_IMODE(place.dead.parent.stat().st_mode) == 0o700
    assert stat.S_IMODE((place.dead.parent / "dead").stat().st_mode) == 0o700
    spool.close()


def test_a_configured_directory_keeps_its_mode(sqlite_host: Host, tmp_path: Path) -> None:
    """It may hold more than the spool, whose own directory in it is private."""
    tmp_path.chmod(0o755)
    spool = Spool(Settings(database_url=sqlite_host.url, spool_dir=tmp_path), Totals())
    spool.put(Fragment().close())

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755
    assert modes(spool.root) == {}
    spool.close()


def owned_by_another_user(base: Path) -> None:
    base.mkdir(0o777)
    os.chown(base, ANOTHER_USER_ID, ANOTHER_USER_ID)


def a_link(base: Path) -> None:
    (base.parent / "elsewhere").mkdir(0o700)
    base.symlink_to(base.parent / "elsewhere")


@pytest.mark.parametrize("make", [pytest.param(owned_by_another_user, marks=AS_ROOT), a_link])
@pytest.mark.internal_errors
def test_a_default_directory_of_another_user_is_refused(
    sqlite_host: Host,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    make: Callable[[Path], None],
) -> None:
    """One line says so and what to do; runs reach the database from memory."""
    tmp_path.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    make(base := default_spool_dir())
    with recording(Settings(database_url=sqlite_host.url, hmac_key="k")):
        for _ in range(3):
            with telemetry.run("intake"):
                pass
        until(lambda: len(sqlite_host.rows("telemetry_runs")) == 3)

    assert list(base.iterdir()) == []
    (line,) = [line for line in caplog.messages if str(base) in line]
    assert "TELEMETRY_SPOOL_DIR" in line


def test_a_default_directory_of_the_same_user_is_made_private(
    sqlite_host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A directory that an earlier version made is used, and gets mode 0700."""
    tmp_path.chmod(0o1777)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    base = default_spool_dir()
    base.mkdir()
    base.chmod(0o777)
    spool = Spool(Settings(database_url=sqlite_host.url), Totals())
    spool.put(Fragment().close())

    assert stat.S_IMODE(base.stat().st_mode) == 0o700
    assert modes(base) == {}
    spool.close()


@AS_ROOT
def test_a_user_refuses_a_default_directory_of_root(sqlite_host: Host, tmp_path: Path) -> None:
    """The user is not root, and root has made the directory of that user's name."""
    code = """
        import os, sys, tempfile, logging
        from pathlib import Path
        from exporters.spool.directory import Spool
        from exporters.metrics.totals import Totals
        from telemetry.settings import Settings
        from tests.exporters.makers import Fragment
        import encodings.idna, sqlalchemy.dialects.postgresql.psycopg2
        Settings(database_url="postgresql://a@db/a").spool_key()
        os.setgid(54321); os.setuid(54321)
        tempfile.tempdir = sys.argv[1]
        spool = Spool(Settings(database_url="postgresql://a@db/a"), Totals())
        assert spool._root.parent.name.endswith("54321")
        kept = Fragment().close()
        for _ in range(3):
            spool.put(Fragment().close())
        assert spool.pending() == 3
        assert not list(spool.other_directories())
    """
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o1777)
        (Path(folder) / f"analysis-telemetry-{ANOTHER_USER_ID}").mkdir(mode=0o777)
        command = [sys.executable, "-c", textwrap.dedent(code), folder]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, check=False)

    assert done.returncode == 0, done.stderr
    assert done.stderr.count("TELEMETRY_SPOOL_DIR") == 1


def test_unreadable_files_are_counted(place: Place) -> None:
    """`telemetry.spool.unreadable` is the number of files that were set aside."""
    place.forge(seq="one")
    place.forge(opened_at=-1)
    place.take_over()

    spool = Spool(place.settings, Totals())
    assert len(list(spool.unreadable())) == 2
    assert SPOOL_UNREADABLE.name == "telemetry.spool.unreadable"


# Contents of a file


WHOLE = Fragment(kind="intake").calls(call()).documents(visit(score=0.5, size=5)).close()
DAMAGES = {
    "nested": "[" * 200_000 + "]" * 200_000,
    "nested inside": '{"schema":1,"usage":' + '{"a":' * 100_000 + "1" + "}" * 100_000 + "}",
    "huge number": '{"schema":1,"seq":' + "9" * 100_000 + "}",
    "huge schema": '{"schema":1e999}',
    "no UTF-8": b"\xff\xfe{}",
    "NUL": b"\0" * 100,
    "empty": "",
    "a repeated key": WHOLE.to_json()[:-1] + f',"run_id":"{"0" * 32}"}}',
    "not a number": WHOLE.to_json().replace(f'"seq":{WHOLE.seq}', '"seq":NaN'),
    "half a character": WHOLE.to_json().replace(WHOLE.run_id, "\\ud800" * 32),
    "a negative number of calls": replace(
        WHOLE, usage={key: replace(sums, calls=-1) for key, sums in WHOLE.usage.items()}
    ).to_json(),
    "closed before it was opened": replace(WHOLE, closed_at=WHOLE.opened_at - 1).to_json(),
}


@pytest.mark.parametrize("content", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_file_is_set_aside(place: Place, content: str | bytes) -> None:
    """Whatever it contains, the deliveries of a living process go on."""
    file = place.dead / f"{WHOLE.fragment_id}.json"
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    file.chmod(0o600)

    assert place.take_over() == [place.good.run_id]
    assert [path.name for path in place.unreadable] == [file.name]


ODD = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(min_value=2**62, max_value=2**70)
    | st.floats()
    | st.text(max_size=5)
    | st.sampled_from(["\0", "\ud800", "x" * 100_000, "../x", -1, 2**63]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=5,
)


@st.composite
def files(draw: st.DrawFn) -> bytes:
    """A snapshot with another value in one field, or cut, or with repeated or invalid bytes."""
    state = json.loads(WHOLE.to_json())
    field = draw(st.sampled_from(sorted(set(state) - {"schema", "fragment_id"})))
    state[field] = draw(ODD)
    text = json.dumps(draw(st.sampled_from([state, json.loads(WHOLE.to_json())]))).encode()
    start, end = sorted((draw(st.integers(0, len(text))), draw(st.integers(0, len(text)))))
    bad = text[:start] + b"\xff" + text[start:]
    return draw(st.sampled_from([text, text[:end], text[:start] + text[end:], text + text[start:end], bad]))


@given(content=st.lists(files(), min_size=20, max_size=20))
@at_most(max_examples=15 if whole_matrix() else 5, deadline=None, suppress_health_check=list(HealthCheck))
def test_files_of_any_content_do_not_stop_deliveries(sqlite_host: Host, content: list[bytes]) -> None:
    """A process delivers the valid snapshots among them, and its own."""
    with tempfile.TemporaryDirectory() as folder:
        place = Place(sqlite_host, Path(folder))
        for number, damaged in enumerate(content):
            name = f"{number:032x}"
            file = place.dead / f"{name}.json"
            file.write_bytes(damaged.replace(WHOLE.fragment_id.encode(), name.encode()))
            file.chmod(0o600)
        place.take_over()

        until(lambda: not place.dead.exists())
