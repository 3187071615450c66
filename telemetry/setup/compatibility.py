"""Which versions of other libraries are supported, and what happens with the rest.

Usage:
    >>> for problem in problems():
    ...     print(problem)

Nothing is imported, only the metadata of what is installed is read, so it works where half of it is missing.
``setup_telemetry`` logs each problem once, as one line; ``flask telemetry doctor`` shows them, too.
``docs/reference/compatibility.md`` is the same table.
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
    """One library: what of it is supported, and what becomes of the rest."""

    name: str
    """Its distribution."""
    at_least: str
    """The oldest supported version."""
    otherwise: str
    """What happens without it, or with another version."""
    below: str = ""
    """The first version that is not supported any more; empty: none is known."""
    extra: str = ""
    """The extra of ours that brings it; empty: it is the application's own."""
    beside: str = ""
    """It is missed only where this library is installed; ``always``: everywhere; empty: nowhere."""
    also: str = ""
    """Another distribution of the same library."""
    imported: str = ""
    """What is imported of it; empty: what its name says."""

    @property
    def module(self) -> str:
        """Return the name of its module, or of the one that is used."""
        separator = "." if self.name.startswith("opentelemetry-") else "_"
        return self.imported or self.name.replace("-", separator)

    @property
    def bounds(self) -> str:
        """Return the supported versions, as pip takes them."""
        return f">={self.at_least}" + (f",<{self.below}" if self.below else "")

    def found(self) -> str | None:
        """Return the installed version, None without any."""
        return installed(self.name) or (installed(self.also) if self.also else None)

    def is_missed(self) -> bool:
        """Say whether it is needed here and absent."""
        needed = self.beside == "always" or (self.beside and installed(self.beside))
        return bool(needed) and self.found() is None


_OWN_HOOK: Final = (
    "its calls are counted by telemetry alone, and tokens that it cannot see are counted as usage_missing"
)
_NO_STATEMENTS: Final = "traces do not show SQL statements; rollups are not affected"
_NO_REQUESTS: Final = "traces do not show requests; rollups are not affected"
_OFF: Final = "telemetry is off"

LIBRARIES: Final = (
    Library("opentelemetry-api", "1.40", _OFF, beside="always", imported="opentelemetry.trace"),
    Library(
        "opentelemetry-sdk", "1.45", _OFF, extra="sdk", beside="always", imported="opentelemetry.sdk.trace"
    ),
    Library(
        "opentelemetry-exporter-otlp-proto-http", "1.45", "nothing can be sent by OTLP over HTTP", extra="sdk"
    ),
    Library(
        "opentelemetry-instrumentation-threading",
        "0.66b1",
        "calls made in threads belong to no run and are counted as orphans",
        extra="sdk",
        beside="opentelemetry-sdk",
    ),
    Library("openai", "1.26.0", _OWN_HOOK, below="4"),
    Library(
        "opentelemetry-instrumentation-genai-openai", "1.3b0", _OWN_HOOK, extra="openai", beside="openai"
    ),
    Library("genai-prices", "0.2", "calls are counted as unpriced", extra="openai", beside="openai"),
    Library("wrapt", "1.16", "OpenAI calls are not counted at all", extra="openai", beside="openai"),
    Library("flask", "3", "the extension may not work", extra="flask"),
    Library("opentelemetry-instrumentation-flask", "0.66b1", _NO_REQUESTS, extra="flask", beside="flask"),
    Library("sqlalchemy", "2.0", "rollups may not reach the database", below="2.2", extra="sql"),
    Library(
        "opentelemetry-instrumentation-sqlalchemy",
        "0.66b1",
        _NO_STATEMENTS,
        extra="sql",
        beside="sqlalchemy",
    ),
    Library("greenlet", "3", _NO_STATEMENTS, extra="sql", beside="opentelemetry-instrumentation-sqlalchemy"),
    Library(
        "cachetools", "6", "repeated questions about jobs are asked of the database each time", extra="sql"
    ),
    Library("alembic", "1.16", "the tables of telemetry cannot be created or upgraded", extra="sql"),
    Library("psycopg2", "2.9", "rollups may not reach the database", also="psycopg2-binary"),
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
    Library(
        "rich", "13", "flask telemetry report prints JSON alone", extra="report", imported="rich.console"
    ),
    Library("apprise", "2.3", "TELEMETRY_NOTIFY cannot be used", extra="notify"),
)
"""Every library that telemetry works with, in the order in which a person would ask."""


@dataclass(frozen=True, slots=True)
class Problem:
    """A library that is missing, or of a version that is not supported; its text is one line."""

    library: Library
    found: str | None
    """The installed version; None: it is missing."""

    @property
    def reason(self) -> str:
        """Return what is the matter."""
        library = self.library
        if self.found is None:
            host = installed(library.beside)
            return f"{library.name} is not installed" + (f" beside {library.beside} {host}" if host else "")
        if _key(self.found) < _key(library.at_least):
            return f"{library.name} {self.found} is older than {library.at_least}"
        return f"{library.name} {self.found} is not supported yet (below {library.below} is)"

    @property
    def remedy(self) -> str:
        """Return what to do about it."""
        library = self.library
        if self.found is None and library.extra:
            return f"pip install 'analysis-telemetry[{library.extra}]'"
        return f"pip install '{library.name}{library.bounds}'"

    def __str__(self) -> str:
        return f"{self.reason}: {self.library.otherwise}; {self.remedy}"


def problem_of(library: Library) -> Problem | None:
    """Return what is the matter with ``library`` here, None when all is well."""
    found = library.found()
    if found is None:
        return Problem(library, None) if library.is_missed() else None
    is_newer = bool(library.below) and _key(found) >= _key(library.below)
    return Problem(library, found) if is_newer or _key(found) < _key(library.at_least) else None


def problems() -> Iterator[Problem]:
    """Find every library that is missing or not supported in this environment."""
    return (problem for problem in map(problem_of, LIBRARIES) if problem)


def installed(distribution: str) -> str | None:
    """Return the version of ``distribution`` here, None when it is not installed."""
    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


_VERSION: Final = re.compile(r"v?(?:\d+!)?(\d+(?:\.\d+)*)(?:[-_.]?(a|b|rc)[a-z]*[-_.]?(\d+))?")


def _key(text: str) -> tuple[tuple[int, ...], str, int]:
    """Return what orders versions; a pre-release comes before its release (``packaging`` may be missing)."""
    found = _VERSION.match(text.strip().lower())
    if found is None:
        return (), "", 0
    numbers = [int(number) for number in found[1].split(".")]
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers), found[2] or "release", int(found[3] or 0)


def platform_gap() -> str:
    """Return what of POSIX this platform does not have, in one line; empty when all is there.

    Rollups are handed from process to process by files that are locked, and a fork must be noticed.
    """
    missing = [name for name in ("fork", "register_at_fork", "getuid") if not hasattr(os, name)]
    try:
        import fcntl  # noqa: F401
    except ImportError:
        missing.append("fcntl")
    if not missing:
        return ""
    return f"it needs a POSIX system, such as Linux or macOS: {sys.platform} has no {', '.join(missing)}"
