"""Runs the demo as a user does, and lists its processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import IO

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "examples.screener.demo"]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return the environment of a user who has set nothing but DEMO_DIR."""
    settings = ("FORCE_COLOR", "OPENAI_", "SCREENER_", "TELEMETRY_", "OTEL_")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(settings)}
    return kept | {"DEMO_DIR": str(folder)} | more


def run_demo(folder: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run the demo to its end."""
    return subprocess.run(
        COMMAND, cwd=ROOT, env=environment(folder, **more), capture_output=True, text=True, check=False
    )


def start_demo(
    folder: Path, *options: str, stderr: int | IO[str] = subprocess.STDOUT
) -> subprocess.Popen[str]:
    """Start the demo; its output goes to `stdout`, as do its errors by default."""
    return subprocess.Popen(
        [*COMMAND, *options],
        cwd=ROOT,
        env=environment(folder, PYTHONUNBUFFERED="1"),
        stdout=subprocess.PIPE,
        stderr=stderr,
        text=True,
    )


def processes_of(folder: Path) -> dict[int, str]:
    """Return the commands of all processes that were started for a folder, by process id."""
    return {
        int(process.name): _read(process / "cmdline").replace("\0", " ")
        for process in Path("/proc").glob("[0-9]*")
        if f"DEMO_DIR={folder}\0" in _read(process / "environ")
    }


def _read(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:  # it has ended, or belongs to another user
        return ""
