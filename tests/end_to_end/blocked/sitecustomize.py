"""Hides the packages in BLOCKED_IMPORTS (separated by commas) if this folder is on the PYTHONPATH."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType


class Blocked(MetaPathFinder):
    """A finder that raises for the blocked packages, before any other finder is asked."""

    def __init__(self, names: Sequence[str]) -> None:
        self._names = names

    def find_spec(self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if any(f"{fullname}.".startswith(f"{name}.") for name in self._names):
            raise ModuleNotFoundError(f"No module named {fullname!r}", name=fullname)


sys.meta_path.insert(0, Blocked(os.environ.get("BLOCKED_IMPORTS", "").split(",")))
