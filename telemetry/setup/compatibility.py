"""Supported versions of other libraries, and what happens with other versions.

Usage:
    >>> for problem in problems():
    ...     print(problem)

Only the metadata of installed distributions is read; nothing is imported, so this works if some of them are
missing. ``setup_telemetry`` logs each problem once, in one line; ``flask telemetry doctor`` shows them too.
``docs/reference/compatibility.md`` has the same table.
"""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import Final


@dataclass(frozen=True, slots=True)
class Library:
    """One library: its supported versions, and the consequence of another version."""

    name: str
    """Name of the distribution."""
    at_least: str
    """The oldest supported version."""
    consequence: str
    """What happens without it, or with another version."""
    below: str = ""
    """The first version that is no longer supported; empty if none is known."""
    extra: str = ""
    """Our extra that installs it; empty if it belongs to the application."""
    needed_by: str = ""
    """The library that needs it; ``always``: needed everywhere; empty: never needed."""
    alternative: str = ""
    """Another distribution of the same library."""
    imported: str = ""
    """Name of its module; empty if it follows from the distribution's name."""

    @property
    def module(self) -> str:
        """Name of its module."""
        separator = "." if self.name.startswith("opentelemetry-") else "_"
        return self.imported or self.name.replace("-", separator)

    @property
    def bounds(self) -> str:
        """The supported versions as a pip specifier."""
        return f">={self.at_least}" + (f",<{self.below}" if self.below else "")

    def installed_version(self) -> str | None:
        """Return the installed version, or None."""
        return installed(self.name) or (installed(self.alternative) if self.alternative else None)

    def is_missing(self) -> bool:
        """Return whether it is needed in this environment and not installed."""
        is_needed = self.needed_by == "always" or (self.needed_by and installed(self.needed_by))
        return bool(is_needed) and self.installed_version() is None


_OWN_HOOK: Final = (
    "its calls are counted by telemetry alone, and tokens that it cannot see are counted as usage_missing"
)
_NO_STATEMENTS: Final = "traces do not show SQL statements; rollups are not affected"
_NO_REQUESTS: Final = "traces do not show requests; rollups are not affected"
_OFF: Final = "telemetry is off"

LIBRARIES: Final = (
    Library("opentelemetry-api", "1.40", _OFF, needed_by="always", imported="opentelemetry.trace"),
    Library(
        "opentelemetry-sdk", "1.45", _OFF, extra="sdk", needed_by="always", imported="opentelemetry.sdk.trace"
    ),
    Library(
        "opentelemetry-exporter-otlp-proto-http", "1.45", "nothing can be sent by OTLP over HTTP", extra="sdk"
    ),
    Library(
        "opentelemetry-instrumentation-threading",
        "0.66b1",
        "calls made in threads belong to no run and are counted as orphans",
        extra="sdk",
        needed_by="opentelemetry-sdk",
    ),
    Library("openai", "1.26.0", "its calls may be counted in part, or not at all", below="4"),
    Library(
        "opentelemetry-instrumentation-genai-openai", "1.3b0", _OWN_HOOK, extra="openai", needed_by="openai"
    ),
    Library("genai-prices", "0.2", "calls are counted as unpriced", extra="openai", needed_by="openai"),
    Library("wrapt", "1.16", "OpenAI calls are not counted at all", extra="openai", needed_by="openai"),
    Library("flask", "3", "the extension may not work", extra="flask"),
    Library("opentelemetry-instrumentation-flask", "0.66b1", _NO_REQUESTS, extra="flask", needed_by="flask"),
    Library("sqlalchemy", "2.0", "rollups may not reach the database", below="2.2", extra="sql"),
    Library(
        "opentelemetry-instrumentation-sqlalchemy",
        "0.66b1",
        _NO_STATEMENTS,
        extra="sql",
        needed_by="sqlalchemy",
    ),
    Library(
        "greenlet", "3", _NO_STATEMENTS, extra="sql", needed_by="opentelemetry-instrumentation-sqlalchemy"
    ),
    Library("cachetools", "6", "results of repeated queries about jobs are not cached", extra="sql"),
    Library("alembic", "1.16", "the tables of telemetry cannot be created or upgraded", extra="sql"),
    Library("psycopg2", "2.9", "rollups may not reach the database", alternative="psycopg2-binary"),
    Library("psycopg", "3.1", "rollups may not reach the database", below="4"),
    Library(
        "opentelemetry-exporter-prometheus",
        "0.66b1",
        "TELEMETRY_METRICS_PORT cannot be used",
        extra="prometheus",
    ),
    Library("prometheus-client", "0.20", "TELEMETRY_METRICS_PORT cannot be used", extra="prometheus"),
    Library(
        "pyarrow",
        "18",
        "nothing can be exported or archived as Parquet",
        extra="parquet",
        imported="pyarrow.parquet",
    ),
    Library("rich", "13", "flask telemetry report prints only JSON", extra="report", imported="rich.console"),
    Library("apprise", "2.3", "TELEMETRY_NOTIFY cannot be used", extra="notify"),
)
"""Every library that telemetry works with, the most important first."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A library that is missing or of an unsupported version; ``str()`` gives one line."""

    library: Library
    version: str | None
    """The installed version, or None."""

    @property
    def reason(self) -> str:
        """What is wrong."""
        library = self.library
        if self.version is None:
            other = installed(library.needed_by)
            return f"{library.name} is not installed" + (
                f" beside {library.needed_by} {other}" if other else ""
            )
        if _key(self.version) < _key(library.at_least):
            return f"{library.name} {self.version} is not supported any more ({library.at_least} or newer is)"
        return f"{library.name} {self.version} is not supported yet (below {library.below} is)"

    @property
    def remedy(self) -> str:
        """What to do about it."""
        library = self.library
        if self.version is None and library.extra:
            return f"pip install 'analysis-telemetry[{library.extra}]'"
        return f"pip install '{library.name}{library.bounds}'"

    def __str__(self) -> str:
        return f"{self.reason}: {self.library.consequence}; {self.remedy}"


def problem_of(library: Library) -> Problem | None:
    """Return the problem with ``library`` in this environment, or None."""
    current = library.installed_version()
    if current is None:
        return Problem(library, None) if library.is_missing() else None
    is_newer = bool(library.below) and _key(current) >= _key(library.below)
    return Problem(library, current) if is_newer or _key(current) < _key(library.at_least) else None


def problems() -> Iterator[Problem]:
    """Yield a problem for every library that is missing or not supported in this environment."""
    return (problem for problem in map(problem_of, LIBRARIES) if problem)


def installed(distribution: str) -> str | None:
    """Return the installed version of ``distribution``, or None."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


_VERSION: Final = re.compile(r"v?(?:\d+!)?(\d+(?:\.\d+)*)(?:[-_.]?(a|b|rc)[a-z]*[-_.]?(\d+))?")


def _key(text: str) -> tuple[tuple[int, ...], str, int]:
    """Return a sort key; a pre-release precedes its release. ``packaging`` may not be installed."""
    match = _VERSION.match(text.strip().lower())
    if match is None:
        return (), "", 0
    numbers = [int(number) for number in match[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), match[2] or "release", int(match[3] or 0)


def platform_gap() -> str:
    """Return in one line which POSIX features this platform lacks; empty if none.

    The spool needs file locks, and forks have to be detected.
    """
    missing = [name for name in ("fork", "register_at_fork", "getuid") if not hasattr(os, name)]
    try:
        import fcntl  # noqa: F401
    except ImportError:
        missing.append("fcntl")
    if not missing:
        return ""
    return f"it needs a POSIX system, such as Linux or macOS: {sys.platform} has no {', '.join(missing)}"
