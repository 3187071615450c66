"""Write `.env` from `.env.example`, with a new value for each secret that is empty there."""

from __future__ import annotations

import os
import re
import secrets
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
EMPTY: Final = re.compile(r"^(\w+)=$", re.MULTILINE)


def write(root: Path = ROOT) -> bool:
    """Write the file, or give secrets that are empty or missing in it a value; return whether it is new."""
    text = (root / ".env.example").read_text(encoding="utf-8")
    filled = EMPTY.sub(lambda found: f"{found[1]}={secrets.token_hex(24)}", text)
    try:
        file = os.open(root / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        _complete(root, filled)
        return False
    with open(file, "w", encoding="utf-8") as output:
        output.write(filled)
    return True


def _complete(root: Path, filled: str) -> None:
    """Give the secrets that are empty or missing in the file their values in ``filled``."""
    if names := missing(root):
        empty = {f"{name}=" for name in names}
        kept = [
            line for line in (root / ".env").read_text(encoding="utf-8").splitlines() if line not in empty
        ]
        new = [line for line in filled.splitlines() if line.partition("=")[0] in names]
        (root / ".env").write_text("\n".join([*kept, *new, ""]), encoding="utf-8")


def missing(root: Path = ROOT) -> set[str]:
    """Return the secrets that have no value in `.env`, or have none yet because there is no such file."""
    needed = EMPTY.findall((root / ".env.example").read_text(encoding="utf-8"))
    return set(needed) - {name for name, value in read(root).items() if value}


def read(root: Path = ROOT, name: str = ".env") -> dict[str, str]:
    """Return the settings in `.env`, or in another file like it; none if it does not exist."""
    try:
        text = (root / name).read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
