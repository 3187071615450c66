"""What stops `flask telemetry assets` is reported, and leaves everything as it was."""

from __future__ import annotations

import errno
import json
import os
import resource
import shutil
from pathlib import Path

import pytest

from exporters.assets.comparison import compare
from exporters.assets.directory import write
from tests.assets.conftest import ALL, BUDGET, COST, MONEY, OF_BUDGET, Command


def test_programs_get_json_of_a_conflict(assets: Command) -> None:
    """One object with the files, whichever the reason; the exit status is 1."""
    (assets.directory / MONEY).mkdir(parents=True)
    (assets.directory / COST).parent.mkdir(parents=True)
    (assets.directory / COST).write_text("{}")

    status, said = assets("--json")
    shown = json.loads(said)
    assert (status, shown["is_written"]) == (1, False)
    assert (shown["conflicting"], shown["blocked"]) == ([COST], [MONEY])
    assert assets.files() == {COST}
    status, said = assets()
    assert (status, said.count("\n"), f" {COST} (" in said, f" {MONEY} (" in said) == (1, 1, True, True)


def test_a_folder_in_the_place_of_a_file_is_a_conflict(assets: Command) -> None:
    """It is nothing that could be overwritten; nothing else is written, either."""
    (assets.directory / MONEY).mkdir(parents=True)

    reason = (
        f"nothing is written to {assets.directory}: not a file: {MONEY} (move away, and use --overwrite FILE)"
    )
    for options in ((), ("--overwrite", "*")):
        assert assets(*options) == (1, f"Error: {reason}\n")
        assert assets.files() == set()

    (assets.directory / MONEY).rmdir()
    assets()
    (assets.directory / MONEY).unlink()
    (assets.directory / MONEY).mkdir()
    assert assets()[0] == 1
    (assets.directory / MONEY).rmdir()  # now it counts as deleted
    assert assets.states("--overwrite", MONEY)["new"] == [MONEY]


def test_a_record_leads_to_no_file_elsewhere(assets: Command, tmp_path: Path) -> None:
    """Whoever writes it cannot have other files removed."""
    write(compare(assets.directory, {"../precious": "mine\n"}))
    assert (tmp_path / "precious").exists()

    assert assets()[0] == 0
    assert (tmp_path / "precious").read_text() == "mine\n"


@pytest.mark.parametrize("content", ["", "[]", "{", '{"files": []}', "\x80"])
def test_a_record_that_is_none_is_a_file_of_others(assets: Command, content: str) -> None:
    """It is named, and replaced if it may be."""
    assets()
    (assets.directory / "written.json").write_bytes(content.encode("latin-1"))

    assert assets.states("--check")["conflicting"] == ["written.json"]
    assert assets()[0] == 1
    assert assets.states("--overwrite", "written.json")["overwritten"] == ["written.json"]
    assert assets("--check")[0] == 0
    assert assets.files() == {*ALL, "written.json", "written.json.orig"}


@pytest.mark.parametrize("options", [(), ("--check",), ("--overwrite", "*")])
def test_an_unusable_directory_is_reported_in_a_line(tmp_path: Path, options: tuple[str, ...]) -> None:
    """It names the file, and the reason."""
    (tmp_path / "file").write_text("")
    directory = tmp_path / "file" / "assets"

    status, said = Command(directory)(*options)
    assert (status, said) == (
        1,
        f"Error: DIRECTORY: {directory / 'written.json'} cannot be read (Not a directory)\n",
    )


@pytest.mark.parametrize("options", [(), ("--check",), ("--check", "--json"), ("--overwrite", "*")])
def test_what_cannot_be_reached_is_not_deleted(assets: Command, options: tuple[str, ...]) -> None:
    """Such as in a folder whose name is a loop of links, or that this user may not enter: it is an error."""
    assets()
    shutil.rmtree(assets.directory / "prometheus")
    (assets.directory / "prometheus").symlink_to("prometheus")

    status, said = assets(*options)
    assert (status, said.count("\n")) == (1, 1)
    assert (
        said.startswith(f"Error: DIRECTORY: {assets.directory / 'prometheus'}/") and "cannot be read" in said
    )


def test_a_directory_that_cannot_be_written_is_reported_in_a_line(
    assets: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the directory, and the reason."""

    def read_only(*_: object, **__: object) -> None:
        raise OSError(errno.EROFS, os.strerror(errno.EROFS))

    monkeypatch.setattr(Path, "mkdir", read_only)
    reason = f"DIRECTORY: {assets.directory} cannot be written (Read-only file system): name another place"
    assert assets() == (1, f"Error: {reason}\n")


def test_an_obstacle_leaves_nothing_behind(assets: Command) -> None:
    """So that nothing counts as edited when it is gone."""
    assets.directory.mkdir()
    (assets.directory / "prometheus").write_text("")

    assert assets()[0] == 1
    assert assets.files() == {"prometheus"}
    (assets.directory / "prometheus").unlink()
    assert assets(**BUDGET)[0] == 0
    assert assets("--check", **BUDGET)[0] == 0


def test_after_an_error_everything_is_as_it_was(assets: Command) -> None:
    """There is never half a set, of which some have the new values and others do not."""
    assets()
    before = {name: (assets.directory / name).read_bytes() for name in assets.files()}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # a full disk: small files fit, others do not
    try:
        status, said = assets(**BUDGET)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

    assert (status, said.count("\n")) == (1, 1)
    assert {name: (assets.directory / name).read_bytes() for name in assets.files()} == before
    assert assets.states(**BUDGET)["changed"] == OF_BUDGET
