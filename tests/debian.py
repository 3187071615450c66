"""Debian packages for tests, most of which are unpacked under `build` instead of installed."""

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
    """Return the folder under `build` that contains `program`; the first call downloads its packages.

    Raises:
        PackageUnavailable: they cannot be fetched or unpacked.
    """
    folder = BUILD / name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / ".lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # concurrent test runs unpack it once
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
        apt_get("download", *packages, cwd=folder)
    except subprocess.CalledProcessError:
        if os.geteuid() != 0:
            raise
        apt_get("update")  # a new machine has no package lists
        apt_get("download", *packages, cwd=folder)


def apt_get(*arguments: str, cwd: Path | None = None) -> None:
    """Run apt-get under a lock, because one of two concurrent calls would fail.

    Raises:
        OSError: there is no apt-get.
        subprocess.CalledProcessError: it failed.
    """
    with (Path(tempfile.gettempdir()) / "analysis-telemetry-apt.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)
        _run("apt-get", *arguments, cwd=cwd)


def _run(*command: str | Path, cwd: Path | None) -> None:
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    subprocess.run(command, cwd=cwd, check=True, capture_output=True, text=True, env=environment)
