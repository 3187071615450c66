"""The wheel of this checkout, built as a release builds it, once for the whole test run."""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

from tests import runs

ROOT = Path(__file__).parents[1]


def wheel() -> Path:
    """Return the path of the wheel."""
    return runs.shared("wheel", _build)


def installed_wheel() -> Path:
    """Return a folder with the contents of the wheel, which any environment can put on its path."""
    return runs.shared("installed", _unpack)


def _build() -> Path:
    folder = runs.folder() / "dist"
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (built,) = folder.glob("*.whl")
    return built


def _unpack() -> Path:
    folder = runs.folder() / "site-packages"
    with zipfile.ZipFile(wheel()) as archive:
        archive.extractall(folder)
    return folder
