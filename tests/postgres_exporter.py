"""A real postgres_exporter for tests: that of the system, else that of Debian's package.

`TEST_POSTGRES_EXPORTER` names a program to use instead.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path
from typing import Final, Self
from urllib.request import urlopen

from tests.debian import PackageUnavailable, unpacked
from tests.postgres import free_port
from tests.waiting import until

NAMES: Final = ("prometheus-postgres-exporter", "postgres_exporter")
PROGRAM: Final = f"usr/bin/{NAMES[0]}"


class PostgresExporterUnavailable(RuntimeError):
    """There is no postgres_exporter; the message says why and what to do."""


class PostgresExporter:
    """A postgres_exporter that watches one server; it runs within its `with` block."""

    def __init__(self, database_url: str) -> None:
        """Prepare it.

        Args:
            database_url: URL for libpq.
        """
        self.place = f"127.0.0.1:{free_port()}"
        self._environment = {"DATA_SOURCE_NAME": f"{database_url}?sslmode=disable"}
        self._program = program()

    def __enter__(self) -> Self:
        command = [str(self._program), f"--web.listen-address={self.place}", "--log.level=error"]
        # It logs each failure to connect, and that is what it is here for.
        self._process = subprocess.Popen(
            command, env=os.environ | self._environment, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
        )
        until(self._answers, what="postgres_exporter answers")
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()

    def kill(self) -> None:
        """End it by SIGKILL; `__enter__` starts it again."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            urlopen(f"http://{self.place}/metrics", timeout=10).close()
        except OSError:
            return False
        return True


def program() -> Path:
    """Return the path of the program.

    Raises:
        PostgresExporterUnavailable: there is none, and it cannot be fetched.
    """
    installed = [path for name in NAMES if (path := shutil.which(name))]
    if chosen := os.environ.get("TEST_POSTGRES_EXPORTER") or next(iter(installed), None):
        return Path(chosen)
    try:
        return unpacked("postgres-exporter", (NAMES[0],), PROGRAM) / PROGRAM
    except PackageUnavailable as error:
        raise PostgresExporterUnavailable(
            f"no postgres_exporter found, nor could Debian's be fetched ({error}):"
            " install it, or name the program in TEST_POSTGRES_EXPORTER"
        ) from error
