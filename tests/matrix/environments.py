"""A virtual environment for each major version of ``openai``, made on first use and kept.

After a change of ``requirements/*.in`` or of ``pyproject.toml``, pin what they hold anew::

    .venv/bin/python -m tests.matrix.environments
"""

from __future__ import annotations

import fcntl
import hashlib
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
KEPT = ROOT / "build" / "environments"
REQUIREMENTS = ROOT / "requirements"


class EnvironmentFailed(Exception):
    """A virtual environment could not be made; the message says why and what to do."""


@dataclass(frozen=True)
class Environment:
    """Where one version of ``openai`` is installed, beside the project itself."""

    openai: str

    @property
    def major(self) -> str:
        return self.openai.split(".")[0]

    @property
    def is_this_one(self) -> bool:
        return self.openai == version("openai")

    @property
    def requirements(self) -> Path:
        return REQUIREMENTS / f"openai-{self.major}.txt"

    def python(self) -> Path:
        """Return the interpreter of the environment, which is made or brought up to date where needed.

        Raises:
            EnvironmentFailed: when packages cannot be installed.
        """
        if self.is_this_one:
            return Path(sys.executable)
        folder = KEPT / f"openai-{self.major}"
        python = folder / "bin" / "python"
        with _alone(folder):
            with _Step(folder / ".packages", sys.version, self.requirements.read_text()) as packages:
                if packages.is_due:
                    _call(sys.executable, "-m", "venv", "--clear", "--without-pip", str(folder))
                    _pip(python, "--require-hashes", "-r", str(self.requirements))
            with _Step(folder / ".project", (ROOT / "pyproject.toml").read_text()) as project:
                if project.is_due:
                    _pip(python, "--no-deps", "--no-build-isolation", "-e", str(ROOT))
        return python


def environments() -> list[Environment]:
    """Return those of the requirement files, and this one, oldest first."""
    pinned = "\n".join(path.read_text() for path in REQUIREMENTS.glob("openai-*.txt"))
    versions = {version("openai"), *re.findall(r"^openai==(\S+)", pinned, re.M)}
    return [Environment(each) for each in sorted(versions, key=lambda each: int(each.split(".")[0]))]


def lock() -> None:
    """Pin every environment, with the versions of ``constraints.txt`` where they fit."""
    uv = [sys.executable, "-m", "uv", "--quiet", "pip", "compile", "--python-version", "3.11"]
    uv += ["--generate-hashes", "--custom-compile-command", "python -m tests.matrix.environments"]
    extras = ["--extra", "sdk", "--extra", "openai", "--extra", "sql", "--group", "build"]
    for asked in sorted(REQUIREMENTS.glob("openai-*.in")):
        pinned = asked.with_suffix(".txt")
        shutil.copy(ROOT / "constraints.txt", pinned)  # uv keeps what is pinned already
        _call(*uv, "pyproject.toml", str(asked.relative_to(ROOT)), *extras, "--output-file", str(pinned))


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Let other test runs of this checkout wait until the environment is made."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with (KEPT / f".{folder.name}.lock").open("w") as file:
        fcntl.lockf(file, fcntl.LOCK_EX)
        yield


class _Step:
    """A step that is done once for what it depends on, remembered in a file."""

    def __init__(self, mark: Path, *depends_on: str) -> None:
        self._mark = mark
        self._state = hashlib.sha256("\0".join(depends_on).encode()).hexdigest()

    @property
    def is_due(self) -> bool:
        return not self._mark.exists() or self._mark.read_text() != self._state

    def __enter__(self) -> _Step:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            self._mark.write_text(self._state)


def _pip(python: Path, *arguments: str) -> None:
    _call(sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet", *arguments)


def _call(*command: str) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        said = (done.stderr or done.stdout).strip()
        raise EnvironmentFailed(
            f"no environment: `{' '.join(command)}` failed, which needs a package index once:\n{said}"
        )


if __name__ == "__main__":
    lock()
