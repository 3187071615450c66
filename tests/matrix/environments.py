"""The versions of ``openai`` that the matrix is run with, and where each is installed."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.environments import REQUIREMENTS, interpreter


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

    def python(self) -> Path:
        """Return the interpreter, of an environment that is made where needed.

        Raises:
            EnvironmentFailed: when packages cannot be installed.
        """
        return (
            Path(sys.executable)
            if self.is_this_one
            else interpreter(f"openai-{self.major}", with_project=True)
        )


def environments() -> list[Environment]:
    """Return those of the requirement files, and this one, oldest first."""
    pinned = "\n".join(path.read_text() for path in REQUIREMENTS.glob("openai-*.txt"))
    versions = {version("openai"), *re.findall(r"^openai==([\w.]+)", pinned, re.M)}
    return [Environment(each) for each in sorted(versions, key=lambda each: int(each.split(".")[0]))]
