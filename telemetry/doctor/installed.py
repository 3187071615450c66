"""Check what is installed: telemetry itself, and the libraries that it works with."""

from __future__ import annotations

import platform
import sys
import warnings
from importlib import import_module
from importlib.metadata import EntryPoint, PackageNotFoundError, distribution
from importlib.util import find_spec
from pathlib import Path
from typing import Final

from telemetry.setup.compatibility import LIBRARIES, Library, problem_of

from .check import Answer, Check, Patient

DISTRIBUTION: Final = "analysis-telemetry"
SUBJECT: Final = "entry point"
EXPORTERS: Final = "exporters.process.pipeline"
"""The module that set-up imports."""


def check_python(_: Patient) -> Answer:
    """Report the version of Python."""
    yield Check("good", "python", platform.python_version())


def check_entry_points(_: Patient) -> Answer:
    """Check that entry points are found, and not hidden by a directory of the same name."""
    try:
        entries_found = distribution(DISTRIBUTION).entry_points
    except PackageNotFoundError:
        remedy = f"pip install {DISTRIBUTION}: a path to the code is not enough"
        yield Check("bad", "entry points", f"{DISTRIBUTION} is not installed here", remedy)
        return
    home = Path(__file__).resolve().parents[2]
    groups: dict[str, list[EntryPoint]] = {}
    for entry in entries_found:
        groups.setdefault(entry.group, []).append(entry)
    for group, entries in groups.items():
        yield from _entry_points(group, entries, home)


def _entry_points(group: str, entries: list[EntryPoint], home: Path) -> Answer:
    """Yield a line for each wrong entry point, and one for all others."""
    results = [_file_of(entry, home) for entry in entries]
    yield from (result for result in results if isinstance(result, Check))
    files = [result for result in results if isinstance(result, Path)]
    if len(files) == 1 == len(entries):
        yield Check("good", SUBJECT, f"{group}: {entries[0].name} is {files[0]}")
    elif files:
        folders = " and ".join(sorted({str(home / file.relative_to(home).parts[0]) for file in files}))
        yield Check("good", SUBJECT, f"{group}: {len(files)} of {len(entries)} are in {folders}")


def _file_of(entry: EntryPoint, home: Path) -> Path | Check:
    """Return the file of an entry point, or a line about what is wrong with it."""
    name = f"{entry.group}: {entry.name}"
    try:
        spec = find_spec(entry.module)
    except ImportError as error:
        spec, reason = None, f" ({error})"
    else:
        reason = ""
    file = Path(spec.origin).resolve() if spec and spec.origin else None
    if file is None:
        again = f"pip install --force-reinstall {DISTRIBUTION}"
        return Check("bad", SUBJECT, f"{name} names {entry.module}, which is not there{reason}", again)
    if not file.is_relative_to(home):
        remedy = f"rename that folder, or run where it is not found before {home}"
        return Check("bad", SUBJECT, f"{name} is {file}, which is not ours", remedy)
    return file


def check_packages(_: Patient) -> Answer:
    """Check that no directory of the application hides `exporters`, which telemetry imports by name."""
    home = Path(__file__).resolve().parents[2]
    try:
        spec = find_spec(EXPORTERS)
    except ImportError as error:
        spec, reason = None, f" ({error})"
    else:
        reason = ""
    file = Path(spec.origin).resolve() if spec and spec.origin else None
    remedy = f"rename the folder exporters that is found before {home}, or run elsewhere"
    if file is None:
        yield Check("bad", "package", f"telemetry needs {EXPORTERS}, which is not there{reason}", remedy)
    elif not file.is_relative_to(home):
        yield Check("bad", "package", f"{EXPORTERS} is {file}, which is not ours", remedy)
    else:
        yield Check("good", "package", f"exporters is in {home}")


def check_libraries(_: Patient) -> Answer:
    """Check that the installed versions are supported, and can be imported."""
    unsupported = set()
    for library in LIBRARIES:
        if problem := problem_of(library):
            text = f"{problem.reason}: {library.consequence}"
            unsupported.add(library.name)
            yield Check("bad", "library", text, problem.remedy)
        elif version := library.installed_version():
            # A library made for another version of an unsupported one is not reported again.
            error = None if library.needed_by in unsupported else _import_error(library)
            yield _broken(library, version, error) if error else _supported(library, version)


def _supported(library: Library, version: str) -> Check:
    return Check("good", "library", f"{library.name} {version} (supported: {library.bounds})")


def _broken(library: Library, version: str, error: BaseException) -> Check:
    """Return a line about a library that cannot be imported: a note if only the application needs it."""
    reason = " ".join(str(error).split())[:200] or "without a message"
    problem = f"{type(error).__name__}: {reason}"
    text = f"{library.name} {version} cannot be imported: {problem}: {library.consequence}"
    if library.name == "psycopg":
        remedy = "pip install 'psycopg[binary]', or install libpq"
    elif isinstance(error, ModuleNotFoundError) and library.extra:
        remedy = f"pip install 'analysis-telemetry[{library.extra}]'"
    else:
        remedy = f"pip install --force-reinstall '{library.name}{library.bounds}'"
    return Check("bad" if library.extra else "note", "library", text, remedy)


def _import_error(library: Library) -> BaseException | None:
    """Import a library, and return the exception if it cannot be imported."""
    if library.module in sys.modules:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import_module(library.module)
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # some libraries raise SystemExit, or worse
        return error
    return None
