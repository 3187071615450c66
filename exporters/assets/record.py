"""The record in a directory: the digest of each file as it was written last."""

from __future__ import annotations

import json
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Final

NAME: Final = "written.json"
_ABOUT: Final = "Written by `flask telemetry assets`: the digests of what it wrote last."


def read(directory: Path) -> dict[str, str]:
    """Return the digests by the paths of the files; none if nothing was written yet.

    Raises:
        ValueError: if the file is no record.
        OSError: if it cannot be read.
    """
    path = directory / NAME
    try:
        files = json.loads(path.read_text(encoding="utf-8"))["files"]
        return {str(name): str(digest) for name, digest in files.items() if _is_below(str(name))}
    except FileNotFoundError:
        return {}
    except (LookupError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is no record") from error


def of(contents: Mapping[str, str]) -> dict[str, str]:
    """Return the record of contents, which are about to be written."""
    return {name: digest(content.encode()) for name, content in sorted(contents.items())}


def text(record: Mapping[str, str]) -> str:
    """Return a record as it is written."""
    return json.dumps({"about": _ABOUT, "files": record}, indent=2) + "\n"


def digest(content: bytes) -> str:
    """Return what a file is recognised by."""
    return sha256(content).hexdigest()


def _is_below(name: str) -> bool:
    """Return whether a path stays in the directory."""
    path = PurePosixPath(name)
    return not path.is_absolute() and ".." not in path.parts
