"""The wheel that users install, built as for a release."""

from __future__ import annotations

import os
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
ENTRY_POINTS = [(group, name) for group, entries in PROJECT["entry-points"].items() for name in entries]


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(directory)
    return directory


def test_wheel_adds_two_packages_only(wheel: Path) -> None:
    """Tests, examples and migrations add no further names to site-packages."""
    with zipfile.ZipFile(wheel) as archive:
        names = {name.partition("/")[0] for name in archive.namelist()}

    assert names == {"telemetry", "exporters", f"analysis_telemetry-{PROJECT['version']}.dist-info"}


def test_migrations_are_in_the_exporters_package(installed: Path) -> None:
    """The wheel has every migration, where the installed package looks for it."""
    source, packaged = ROOT / "migrations", installed / "exporters" / "migrations"
    expected = {path.relative_to(source) for path in source.rglob("*.py")}

    assert Path("env.py") in expected
    assert {path.relative_to(packaged) for path in packaged.rglob("*.py")} == expected


def test_a_wheel_from_the_source_distribution_is_the_same(wheel: Path, tmp_path: Path) -> None:
    """Whoever builds it from there lacks nothing: no migration, and no dashboard."""
    build = [sys.executable, "-m", "hatchling", "build", "-d", str(tmp_path), "-t"]
    subprocess.run([*build, "sdist"], cwd=ROOT, check=True, capture_output=True)
    (source,) = tmp_path.glob("*.tar.gz")
    with tarfile.open(source) as archive:
        archive.extractall(tmp_path, filter="data")
    unpacked = tmp_path / source.name.removesuffix(".tar.gz")
    subprocess.run([*build, "wheel"], cwd=unpacked, check=True, capture_output=True)
    (built,) = tmp_path.glob("*.whl")

    with zipfile.ZipFile(wheel) as ours, zipfile.ZipFile(built) as theirs:
        assert {entry.filename: entry.CRC for entry in ours.infolist()} == {
            entry.filename: entry.CRC for entry in theirs.infolist()
        }


def test_packages_are_typed(installed: Path) -> None:
    """The marker makes type checkers read the annotations."""
    assert (installed / "telemetry" / "py.typed").exists()


@pytest.mark.parametrize(("group", "name"), ENTRY_POINTS)
def test_entry_points_load_from_the_wheel(installed: Path, tmp_path: Path, group: str, name: str) -> None:
    """Each entry point that Flask, OpenTelemetry or pytest looks up is in the wheel."""
    program = (
        "import sys\n"
        "from importlib.metadata import distribution\n"
        "entry_points = distribution('analysis-telemetry').entry_points\n"
        "(entry,) = entry_points.select(group=sys.argv[1], name=sys.argv[2])\n"
        "entry.load()\n"
        "print(sys.modules[entry.module].__file__)\n"
    )
    done = subprocess.run(
        [sys.executable, "-P", "-c", program, group, name],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed)},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(installed)


def test_catalogue_command_works_from_the_wheel(installed: Path, tmp_path: Path) -> None:
    """It prints the same page as in the repository, without a database."""
    done = subprocess.run(
        [sys.executable, "-P", "-m", "flask", "telemetry", "catalogue"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(installed), "PYTHONHASHSEED": "1"},
        capture_output=True,
        text=True,
        check=False,
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout == (ROOT / "docs" / "reference" / "catalogue.md").read_text()
