"""The installers that people use: the pips that Python releases bundle, the newest pip, and uv.

They run on every supported Python of the machine, with the package index that is configured.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
CACHE = ROOT / "build" / "installers"
PIPS = ("23.2.1", "24.0", "25.0", "newest")
"""The pips of Python 3.11.7 and 3.12.1, the last one with the old resolver, and the newest."""


class InstallationFailed(Exception):
    """An installer failed; the message is its output."""


@cache
def pythons() -> dict[str, Path]:
    """Return the interpreter of each supported version that this machine has: `{"3.11": Path(…)}`."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    versions = re.findall(r"Python :: (3\.\d+)", "\n".join(project["classifiers"]))
    candidates = {version: _interpreters(version) for version in versions}
    return {version: paths[0] for version, paths in candidates.items() if paths}


def resolve(installer: str, python: Path, requirement: str, *options: str) -> dict[str, str]:
    """Return the versions that an installer would choose in an empty environment, by canonical name.

    Args:
        installer: `uv`, or one of :data:`PIPS`.
        python: interpreter of the environment.
        requirement: what to install.
        options: further options of the installer, such as `--find-links`.

    Raises:
        InstallationFailed: it finds no consistent set of versions.
    """
    if installer == "uv":
        args = ("pip", "compile", "-", "--python", str(python), "--no-header", "--no-annotate", *options)
        lines = _run(_uv(*args), text=requirement).splitlines()
        pins = [line.partition("==") for line in lines if "==" in line]
        return {canonicalize_name(name): version for name, _, version in pins}
    args = ("install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-", *options, requirement)
    report = json.loads(_run([str(python), "-m", "pip", *args], pip=installer))
    packages = [entry["metadata"] for entry in report["install"]]
    return {canonicalize_name(entry["name"]): entry["version"] for entry in packages}


def create_environment(folder: Path, python: Path) -> Path:
    """Create an environment without any package, and return its interpreter."""
    _run(_uv("venv", "--python", str(python), str(folder)))
    return folder / "bin" / "python"


def install(installer: str, python: Path, *requirements: str) -> None:
    """Install into the environment of an interpreter.

    Raises:
        InstallationFailed: the installer failed.
    """
    if installer == "uv":
        _run(_uv("pip", "install", "--python", str(python), *requirements))
    else:
        _run([str(python), "-m", "pip", "install", "--quiet", "--no-compile", *requirements], pip=installer)


def check(installer: str, python: Path) -> str:
    """Return the output of `pip check` in an environment.

    Raises:
        InstallationFailed: it found packages that conflict.
    """
    if installer == "uv":
        return _run(_uv("pip", "check", "--python", str(python)))
    return _run([str(python), "-m", "pip", "check"], pip=installer)


@cache
def _pip(version: str) -> Path:
    """Return the folder that holds a pip, created where needed; the newest is looked up each time."""
    folder = CACHE / f"pip-{version}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f".pip-{version}.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # concurrent test runs create it once
        if version == "newest":
            _run(_uv("pip", "install", "--upgrade", "--target", str(folder), "pip"))
        elif not folder.exists():
            _run(_uv("pip", "install", "--target", f"{folder}.new", f"pip=={version}"))
            Path(f"{folder}.new").rename(folder)
    return folder


def _interpreters(version: str) -> list[Path]:
    """Return the interpreters of a version that start, the preferred one first."""
    pyenv = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    on_path = shutil.which(f"python{version}")
    this = [Path(sys._base_executable)] if sys.version.startswith(f"{version}.") else []  # type: ignore[attr-defined]
    places = [*this, *([Path(on_path)] if on_path else []), *sorted(pyenv.glob(f"{version}.*/bin/python3"))]
    return [place for place in places if _starts(place)]


def _starts(python: Path) -> bool:
    """Return whether an interpreter can create environments; a shim of pyenv may name a missing one."""
    command = [str(python), "-c", "import ensurepip, ssl, venv"]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def _uv(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "uv", "--quiet", "--no-python-downloads", *arguments]


def _run(command: list[str], *, pip: str | None = None, text: str | None = None) -> str:
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment |= {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_ROOT_USER_ACTION": "ignore"}
    if pip is not None:
        environment["PYTHONPATH"] = str(_pip(pip))
    done = subprocess.run(
        command, env=environment, input=text, capture_output=True, text=True, check=False, cwd=CACHE.anchor
    )
    if done.returncode:
        raise InstallationFailed(f"`{' '.join(command)}` failed: {done.stderr.strip()}{done.stdout.strip()}")
    return done.stdout
