"""Run each peer in an environment of its own, made from ``peers/<name>.txt`` when it is first needed."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from ._arms import Figures

ROOT: Final = Path(__file__).parent.parent
REQUIREMENTS: Final = ROOT / "benchmarks" / "peers"
ENVIRONMENTS: Final = ROOT / "build" / "benchmarks"
PEERS: Final = ("openlit", "traceloop", "logfire", "langfuse")
MINUTES: Final = 10
"""A peer that takes longer to install or to run is left out."""


@dataclass(frozen=True, slots=True)
class Peer:
    """The result of running one peer."""

    name: str
    versions: str
    """Versions of the peer and the client, from its requirements."""
    figures: Figures | None = None
    reason: str = ""
    """The reason why there are no figures."""


def run_peer(name: str) -> Peer:
    """Install ``name`` if necessary, and measure it in a process of its own."""
    versions = _versions(name)
    try:
        python = _environment(name)
        printed = _run(str(python), "-m", "benchmarks._peer", name)
        return Peer(name, versions, json.loads(printed.splitlines()[-1]))
    except subprocess.CalledProcessError as error:
        return Peer(name, versions, reason=_reason(error.stderr) or f"exit status {error.returncode}")
    except subprocess.TimeoutExpired:
        return Peer(name, versions, reason=f"not done after {MINUTES} minutes")


def _environment(name: str) -> Path:
    """Return the Python of a virtual environment that has exactly what the requirements say."""
    folder = ENVIRONMENTS / name
    python = folder / "bin" / "python"
    uv = str(Path(sys.executable).with_name("uv"))
    if not python.exists():
        _run(uv, "venv", "--quiet", "--python", sys.executable, str(folder))
    requirements = str(REQUIREMENTS / f"{name}.txt")
    _run(uv, "pip", "sync", "--quiet", "--require-hashes", "--python", str(python), requirements)
    return python


def _run(*command: str) -> str:
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True, timeout=MINUTES * 60)
    return done.stdout


def _reason(stderr: str) -> str:
    """Return the line that names the error: an installer's first, else a traceback's last."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    return next((line for line in lines if line.startswith(("error", "×"))), lines[-1] if lines else "")


def _versions(name: str) -> str:
    asked = (REQUIREMENTS / f"{name}.in").read_text().split()[0]
    lines = (REQUIREMENTS / f"{name}.txt").read_text().splitlines()
    pins = dict(line.rstrip(" \\").split("==") for line in lines if "==" in line)
    return f"{asked} {pins[asked]}, openai {pins['openai']}"
