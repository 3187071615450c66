"""`make up`: the settings that it writes, and what it says where there is no Docker."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.stack import files as stack
from tools.compose import environment

DOCKER: Final = """\
#!/bin/sh
case "$*" in
  "compose version"*) echo 2.40.3 ;;
  "compose config"*) echo '{config}' ;;
  "volume ls"*) case "$*" in {volumes}) echo there ;; esac ;;
  *) echo "docker $*" >&2; exit 1 ;;
esac
"""
"""An engine that has volumes, and starts nothing."""
VOLUMES: Final = ("database", "grafana")


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
    assert len(secrets) == 7 == len({written[name] for name in secrets})
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


def made_up(folder: Path, *volumes: str) -> subprocess.CompletedProcess[str]:
    """Do `make up` in a clone on an engine that has volumes."""
    config = {"volumes": {name: {"name": f"ours_{name}"} for name in VOLUMES}}
    programs = folder / "programs"
    programs.mkdir()
    there = "|".join(f"*^ours_{name}$" for name in volumes) or "none"
    docker = DOCKER.replace("{config}", json.dumps(config)).replace("{volumes}", there)
    (programs / "docker").write_text(docker)
    (programs / "docker").chmod(0o755)
    shutil.copytree(stack.ROOT / "tools" / "compose", folder / "tools" / "compose")
    shutil.copy(stack.ROOT / "tools" / "__init__.py", folder / "tools")
    shutil.copy(stack.ROOT / ".env.example", folder)
    return subprocess.run(
        [sys.executable, "-m", "tools.compose.up"],
        cwd=folder,
        env={"PATH": f"{programs}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("written", "volumes", "named"),
    [
        ("", ["database"], "ours_database"),
        ("", ["database", "grafana"], "ours_database ours_grafana"),
        ("POSTGRES_PASSWORD=a\nSCREENER_PASSWORD=a\nGRAFANA_ADMIN_PASSWORD=\n", VOLUMES, "ours_grafana"),
    ],
    ids=["a second clone", "with Grafana", "a password that was deleted"],
)
def test_volumes_of_another_clone_are_left_alone(
    tmp_path: Path, written: str, volumes: list[str], named: str
) -> None:
    """One line names them and the ways out, as often as it is tried, since no new secrets are written."""
    if written:
        (tmp_path / ".env").write_text(written)
    done = made_up(tmp_path, *volumes)

    assert done.returncode == 1 and done.stdout == ""
    assert done.stderr.count("\n") == 1 and f"docker volume rm {named}`" in done.stderr
    assert "COMPOSE_PROJECT_NAME" in done.stderr
    assert (tmp_path / ".env").exists() == bool(written)
    assert not written or (tmp_path / ".env").read_text() == written


@pytest.mark.parametrize(
    ("written", "volumes"),
    [("", []), ("POSTGRES_PASSWORD=a\nSCREENER_PASSWORD=a\nGRAFANA_ADMIN_PASSWORD=a\n", VOLUMES)],
    ids=["the first time", "a later version needs one more"],
)
def test_volumes_of_its_own_are_used(tmp_path: Path, written: str, volumes: list[str]) -> None:
    """Where `.env` has their passwords, or there are none yet, the image is built, which fails here."""
    if written:
        (tmp_path / ".env").write_text(written)
    done = made_up(tmp_path, *volumes)

    assert "docker compose build migrate" in done.stderr
    assert environment.missing(tmp_path) == set()
