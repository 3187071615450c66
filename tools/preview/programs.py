"""What draws: the page with its packages, bundled into one folder, and the Chromium that shows it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from .frames import Json

HERE: Final = Path(__file__).parent
PAGE: Final = HERE / "page"
PINNED: Final = ("package.json", "package-lock.json")
FONTS: Final = ("inter-latin-400-normal.woff2", "inter-latin-500-normal.woff2")
"""Grafana's own, so that pictures do not depend on the fonts of a machine."""
ROOT: Final = HERE.parents[1]
PACKAGES: Final = ROOT / "build" / "preview-packages"
"""Where npm installs, unless somebody else says where."""


class NoNode(RuntimeError):
    """The page cannot be built: the message says what is missing."""


def install(folder: Path = PACKAGES) -> Path:
    """Install the pinned packages, unless they are there already, and return their folder.

    Raises:
        NoNode: without npm, or without its registry.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise NoNode("npm is not installed: the page needs Node 20 or newer")
    folder.mkdir(parents=True, exist_ok=True)
    if all(_same(HERE / name, folder / name) for name in PINNED) and (folder / "installed").exists():
        return folder
    for name in PINNED:
        shutil.copy(HERE / name, folder)
    command = (npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
    if subprocess.run(command, cwd=folder, check=False).returncode:
        raise NoNode("npm could not install the packages of the page: it needs its registry")
    (folder / "installed").touch()
    return folder


def bundle(packages: Path, target: Path, boards: Iterable[Json]) -> Path:
    """Write the page with its data into a folder, and return the page."""
    target.mkdir(parents=True, exist_ok=True)
    for name in ("index.html", "style.css"):
        shutil.copy(PAGE / name, target)
    for name in FONTS:
        shutil.copy(packages / "node_modules/@fontsource/inter/files" / name, target)
    (target / "data.js").write_text(f"window.PREVIEW = {json.dumps(list(boards))};\n", encoding="utf-8")
    subprocess.run(
        [
            *(packages / "node_modules/.bin/esbuild", PAGE / "page.js", "--bundle", "--minify"),
            *("--format=iife", "--log-level=error", f"--outfile={target / 'page.js'}"),
            *('--define:process.env.NODE_ENV="production"', "--define:global=globalThis"),
        ],
        cwd=packages,
        env={**os.environ, "NODE_PATH": str(packages / "node_modules")},
        check=True,
    )
    return target / "index.html"


def _same(one: Path, other: Path) -> bool:
    return other.exists() and one.read_bytes() == other.read_bytes()
