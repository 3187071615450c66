"""`make up`: the settings that it writes, and what it says where there is no Docker."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

from tests.stack import files as stack
from tools.compose import environment


def test_secrets_are_new_and_private(tmp_path: Path) -> None:
    """Each secret has a value of its own, another one in each clone, in a file that others cannot read."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        folder.mkdir()
        shutil.copy(stack.ROOT / ".env.example", folder)
        assert environment.write(folder)
    written, other = environment.read(first), environment.read(second)
    secrets = {name for name, value in written.items() if stack.documented()[name] != value}

    assert secrets == {name for name, value in stack.documented().items() if not value}
    assert len(secrets) == 6 == len({written[name] for name in secrets})
    assert all(len(written[name]) >= 32 and written[name] != other[name] for name in secrets)
    assert stat.S_IMODE((first / ".env").stat().st_mode) == 0o600


def test_settings_that_are_there_stay(tmp_path: Path) -> None:
    """A second `make up` changes no secret, with which data are already protected."""
    shutil.copy(stack.ROOT / ".env.example", tmp_path)
    own = {name: f"my-{name}" for name, value in stack.documented().items() if not value}
    (tmp_path / ".env").write_text("".join(f"{name}={value}\n" for name, value in own.items()))
    before = (tmp_path / ".env").read_text()

    assert not environment.write(tmp_path)
    assert (tmp_path / ".env").read_text() == before


def test_secrets_that_are_missing_are_filled_in(tmp_path: Path) -> None:
    """Also in a copy of `.env.example`, and when a later version needs one more."""
    shutil.copy(stack.ROOT / ".env.example", tmp_path)
    (tmp_path / ".env").write_text("APP_PORT=8001\nSECRET_KEY=chosen\nPOSTGRES_PASSWORD=\n# the end\n")

    assert not environment.write(tmp_path)
    written = environment.read(tmp_path)
    assert (written["APP_PORT"], written["SECRET_KEY"]) == ("8001", "chosen")
    assert all(written[name] for name, value in stack.documented().items() if not value)
    assert (tmp_path / ".env").read_text().count("POSTGRES_PASSWORD=") == 1
    before = (tmp_path / ".env").read_text()
    assert not environment.write(tmp_path) and (tmp_path / ".env").read_text() == before


def test_without_docker_it_says_what_to_do(tmp_path: Path) -> None:
    """One line, which names the other way."""
    done = subprocess.run(
        [sys.executable, "-m", "tools.compose.up"],
        cwd=stack.ROOT,
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 1
    assert done.stderr.count("\n") == 1 and "make stack" in done.stderr
    assert done.stdout == ""
