"""The Go toolchain of this machine, and whether it can build the programs."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

from tools.programs import numbers

VARIABLE: Final = "GO"
"""Environment variable that names another Go than the one on the PATH."""
USUAL_PLACE: Final = "/usr/local/go/bin/go"
FETCHES_OTHERS: Final = "1.21"
"""The first Go that downloads the version that a module asks for."""


class ToolchainMissing(RuntimeError):
    """No Go can build the programs; the message says what to install."""


def find_go(needed: str) -> tuple[str, str]:
    """Return the path of a Go that can build what needs the version `needed`, and a remark or "".

    Raises:
        ToolchainMissing: there is none, or it is too old and may not fetch a newer one.
    """
    chosen = os.environ.get(VARIABLE)
    go = shutil.which(chosen) if chosen else shutil.which("go") or shutil.which(USUAL_PLACE)
    if go is None:
        raise ToolchainMissing(
            f"{chosen or 'Go'} not found:"
            f" install Go {needed} or newer (https://go.dev/dl/), or name it in {VARIABLE}"
        )
    version, policy = _environment(go)
    if numbers(version) >= numbers(needed):
        return go, ""
    if numbers(version) >= numbers(FETCHES_OTHERS) and policy.endswith(("auto", "path")):
        return go, f"{go} is Go {version}: it fetches Go {needed} into its module cache by itself"
    raise ToolchainMissing(
        f"{go} is Go {version}, but {needed} or newer is needed: install it (https://go.dev/dl/)"
        + (
            ", or let Go fetch it with GOTOOLCHAIN=auto"
            if numbers(version) >= numbers(FETCHES_OTHERS)
            else ""
        )
    )


def _environment(go: str) -> tuple[str, str]:
    """Return the version of `go`, and whether it may fetch others (GOTOOLCHAIN)."""
    command = [go, "env", "GOVERSION", "GOTOOLCHAIN"]
    # The root directory has no go.mod that asks for another version.
    done = subprocess.run(
        command,
        cwd=Path("/"),
        env={**os.environ, "GOWORK": "off"},
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise ToolchainMissing(f"{go} does not work: {done.stderr.strip()}")
    version, _, policy = done.stdout.partition("\n")
    return version.strip().removeprefix("go"), policy.strip()
