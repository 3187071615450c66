"""Programs of Debian's packages for tests, unpacked under `build` without being installed."""

from __future__ import annotations

import fcntl
import os
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BUILD = ROOT / "build"


class PackageUnavailable(RuntimeError):
    """A package could not be fetched or unpacked; the message says why."""


def unpacked(name: str, packages: tuple[str, ...], program: str) -> Path:
    """Return the folder under `build` that holds a `program`, fetching its packages the first time.

    Raises:
        PackageUnavailable: there are none to be had.
    """
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # two test runs at once unpack it once
        if not (folder / program).exists():
            _unpack(packages, folder)
    return folder


def _unpack(packages: tuple[str, ...], target: Path) -> None:
    try:
        with tempfile.TemporaryDirectory() as folder:
            _download(packages, Path(folder))
            for package in Path(folder).glob("*.deb"):
                _run("dpkg-deb", "--extract", package, target, cwd=target)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or str(error)
        raise PackageUnavailable(reason.strip()) from error


def _download(packages: tuple[str, ...], folder: Path) -> None:
    try:
        _run("apt-get", "download", *packages, cwd=folder)
    except subprocess.CalledProcessError:
        if os.geteuid() != 0:
            raise
        _run("apt-get", "update", cwd=folder)  # a new machine knows of no packages
        _run("apt-get", "download", *packages, cwd=folder)


def _run(*command: str | Path, cwd: Path) -> None:
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True)
