"""The programs that `make tools` builds, for tests."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tools.programs import BUILDS, TOOLS


def program(name: str) -> Path:
    """Return the path of a program; without it the test is skipped or, in continuous integration, fails."""
    build = next(build for build in BUILDS if name in build.packages)
    if not build.is_built():
        sentence = f"{name} {build.version} is not built: run `make tools`"
        if os.environ.get("CI"):
            pytest.fail(sentence)
        pytest.skip(sentence)
    return TOOLS / name
