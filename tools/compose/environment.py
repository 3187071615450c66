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
    """Write the file, unless there is one, and return whether it was written."""
    text = (root / ".env.example").read_text(encoding="utf-8")
    filled = EMPTY.sub(lambda found: f"{found[1]}={secrets.token_hex(24)}", text)
    try:
        file = os.open(root / ".env", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        return False
    with open(file, "w", encoding="utf-8") as output:
        output.write(filled)
    return True


def read(root: Path = ROOT) -> dict[str, str]:
    """Return the settings in `.env`."""
    text = (root / ".env").read_text(encoding="utf-8")
    return dict(re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE))
