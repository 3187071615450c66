"""The programs that `make tools` builds, for tests."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest

from tools.programs import BUILDS, TOOLS

REASON: Final = "is not built: run `make tools`"


def program(name: str) -> Path:
    """Return the path of a program; without it the test is skipped or, in continuous integration, fails."""
    build = next(build for build in BUILDS if name in build.packages)
    if not build.is_built():
        sentence = f"{name} {build.version} {REASON}"
        if os.environ.get("CI"):
            pytest.fail(sentence, pytrace=False)
        pytest.skip(sentence)
    return TOOLS / name


def skipped(reports: Sequence[pytest.TestReport]) -> str:
    """Return the line about the tests that were skipped for want of programs, or "" if there are none."""
    reasons = [report.longrepr[2] for report in reports if isinstance(report.longrepr, tuple)]
    missing = [reason.removeprefix("Skipped: ").partition(" ")[0] for reason in reasons if REASON in reason]
    names = ", ".join(sorted(set(missing)))
    return f"{len(missing)} tests skipped without {names}: `make tools` builds them, once" if missing else ""
