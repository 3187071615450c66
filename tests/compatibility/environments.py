"""Isolated environments of hosts: one for each `requirements/*.txt`, made on first use and kept.

After a change of `requirements/*.in` or `pyproject.toml`, pin them anew:
`.venv/bin/python -m tests.compatibility.environments`.
"""

from __future__ import annotations

import fcntl
import hashlib
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
REQUIREMENTS = Path(__file__).with_name("requirements")
KEPT = ROOT / "build" / "environments"
EXTRAS = {
    "ancient": ["--all-extras"],
    "bare": [],
    "distro": ["--all-extras"],
    "old": ["--all-extras"],
    "uninstrumented": ["--extra", "sdk"],
}
"""How much of the project each host has installed."""


def interpreter(name: str) -> Path:
    """Return the Python of the environment `name`, which holds what its file says and nothing else.

    Raises:
        RuntimeError: the packages cannot be installed; the message says why.
    """
    requirements = REQUIREMENTS / f"{name}.txt"
    folder = KEPT / f"host-{name}"
    state = hashlib.sha256((sys.version + requirements.read_text()).encode()).hexdigest()
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / f".{folder.name}.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # two test runs at once make it once
        mark = folder / ".made-of"
        if not mark.exists() or mark.read_text() != state:
            _uv("venv", "--clear", "--python", sys.executable, str(folder))
            python = str(folder / "bin" / "python")
            _uv("pip", "install", "--python", python, "--require-hashes", "-r", str(requirements))
            mark.write_text(state)
    return folder / "bin" / "python"


def _uv(*arguments: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "uv", "--quiet", *arguments], capture_output=True, text=True, check=False
    )
    if done.returncode:
        what = " ".join(("uv", *arguments))
        raise RuntimeError(f"`{what}` failed (it needs a package index once): {done.stderr.strip()}")


def lock() -> None:
    """Pin every environment, with hashes."""
    for name, extras in EXTRAS.items():
        given = ["pyproject.toml", f"tests/compatibility/requirements/{name}.in", *extras, "--no-annotate"]
        if name not in ("ancient", "old"):
            given += ["--constraints", "constraints.txt"]  # the newest of everything, as we test it
        given += ["--python-version", "3.11", "--generate-hashes"]
        given += ["--custom-compile-command", "python -m tests.compatibility.environments"]
        _uv("pip", "compile", *given, "--output-file", str(REQUIREMENTS / f"{name}.txt"))


if __name__ == "__main__":
    lock()
