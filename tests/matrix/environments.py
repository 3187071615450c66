"""The versions of ``openai`` that the matrix runs with, and their environments."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from tests.environments import REQUIREMENTS, interpreter


@dataclass(frozen=True)
class Environment:
    """An environment with one version of ``openai`` and the project itself."""

    openai: str

    @property
    def major(self) -> str:
        return self.openai.split(".")[0]

    @property
    def is_this_one(self) -> bool:
        return self.openai == version("openai")

    def python(self) -> Path:
        """Return the interpreter of the environment, which is created where needed.

        Raises:
            EnvironmentFailed: if packages cannot be installed.
        """
        return (
            Path(sys.executable)
            if self.is_this_one
            else interpreter(f"openai-{self.major}", with_project=True)
        )


def environments() -> list[Environment]:
    """Return the environments of the requirement files and the current one, oldest first."""
    pinned = "\n".join(path.read_text() for path in REQUIREMENTS.glob("openai-*.txt"))
    versions = {version("openai"), *re.findall(r"^openai==([\w.]+)", pinned, re.M)}
    return [Environment(name) for name in sorted(versions, key=lambda name: int(name.split(".")[0]))]
