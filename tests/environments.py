"""Virtual environments with other packages, one for each `requirements/*.txt`, cached under `build`.

After a change of `requirements/*.in`, `constraints.txt` or `pyproject.toml`, pin their packages again:
`.venv/bin/python -m tests.environments`.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
REQUIREMENTS = ROOT / "requirements"
CACHE = ROOT / "build" / "environments"
CLIENT = ("--extra", "sdk", "--extra", "openai", "--extra", "sql", "--group", "build")
IMAGE = ("sdk", "openai", "flask", "sql", "prometheus", "report", "notify")
"""The extras in the image of the example; without Parquet, which would be half of it."""
PARTS: dict[str, tuple[str, ...]] = {
    "openai-1": CLIENT,
    "openai-2": CLIENT,
    "host-bare": (),
    "host-distro": ("--all-extras",),
    "host-old": ("--all-extras",),
    "host-uninstrumented": ("--extra", "sdk"),
    "image": (*(word for extra in IMAGE for word in ("--extra", extra)), "--group", "example"),
    "image-build": ("--group", "build"),
    "sqlalchemy-2.0": ("--all-extras", "--group", "build", "--group", "example", "--group", "tests"),
}
"""The extras and groups of the project in each environment, beside the packages of its file."""


class EnvironmentFailed(Exception):
    """A virtual environment could not be made; the message says why and what to do."""


def interpreter(name: str, *, with_project: bool = False) -> Path:
    """Return the Python of an environment, which is created or renewed where needed.

    Args:
        name: name of its file in `requirements`.
        with_project: whether this checkout is installed in it, too.

    Raises:
        EnvironmentFailed: the packages cannot be installed.
    """
    return _cached(name, REQUIREMENTS / f"{name}.txt", Path(sys.executable), with_project)


def of_python(python: Path, version: str) -> Path:
    """Return the Python of an environment like this one, but of another version, with this checkout.

    Args:
        python: the interpreter; see :func:`tests.installers.pythons`.
        version: its version, such as ``3.13``.

    Raises:
        EnvironmentFailed: the packages cannot be installed.
    """
    if sys.version.startswith(f"{version}."):
        return Path(sys.executable)
    return _cached(f"python-{version}", ROOT / "constraints.txt", python, with_project=True)


def _cached(name: str, pinned: Path, python: Path, with_project: bool) -> Path:
    folder = CACHE / name
    depends_on = [sys.version, str(python), pinned.read_text()]
    if with_project:
        depends_on.append((ROOT / "pyproject.toml").read_text())
    state = hashlib.sha256("\0".join(depends_on).encode()).hexdigest()
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".{name}.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # concurrent test runs create it once
        mark = folder / ".made-of"
        if not mark.exists() or mark.read_text() != state:
            _make(folder, pinned, python, with_project)
            mark.write_text(state)
    return folder / "bin" / "python"


def lock() -> None:
    """Pin every environment, with hashes, and with the versions of `constraints.txt` where they fit."""
    for name, parts in PARTS.items():
        pinned = REQUIREMENTS / f"{name}.txt"
        shutil.copy(ROOT / "constraints.txt", pinned)  # uv keeps the versions that are pinned already
        given = ["pyproject.toml", f"requirements/{name}.in", *parts, "--no-annotate", "--generate-hashes"]
        given += ["--universal", "--python-version", "3.11"]
        given += ["--custom-compile-command", "python -m tests.environments"]
        _uv("pip", "compile", *given, "--output-file", str(pinned))


def _make(folder: Path, pinned: Path, python: Path, with_project: bool) -> None:
    _uv("venv", "--clear", "--python", str(python), str(folder))
    install = ("pip", "install", "--python", str(folder / "bin" / "python"))
    _uv(*install, "--require-hashes", "-r", str(pinned))
    if with_project:
        _uv(*install, "--no-deps", "--no-build-isolation", "-e", str(ROOT))


def _uv(*arguments: str) -> None:
    command = [sys.executable, "-m", "uv", "--quiet", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        what = " ".join(("uv", *arguments))
        raise EnvironmentFailed(f"`{what}` failed (it needs a package index once): {done.stderr.strip()}")


if __name__ == "__main__":
    lock()
