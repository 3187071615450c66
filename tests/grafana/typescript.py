"""Grafana's own types and its own code, in Node: what it would make of the dashboards."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from pathlib import Path
from typing import Final

import pytest

from tests import runs
from tests.grafana.dashboards import Json

PINNED: Final = Path(__file__).parents[2] / "tools" / "dashboard_types"
"""What is installed, with checksums."""
INSTALLED: Final = Path(__file__).parents[2] / "build" / "dashboard-types"
"""Where it is installed, in a folder for each set of checksums."""
OF_PANELS: Final = "node_modules/@grafana/schema/dist/types/raw/composable"
HEAD: Final = """
// Enums by their string values, as JSON has them.
type Json<T> = T extends string ? `${T}`
  : T extends number | boolean | null | undefined ? T
  : T extends (infer U)[] ? Json<U>[]
  : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
"""


def checked_folder() -> Path:
    """Return the folder with what is installed; without Node the test is skipped or, in CI, fails."""
    folder = runs.shared("dashboard-types", _installed)
    if folder is None:
        sentence = (
            "Grafana's own code checks nothing: that needs Node and npm, and the registry that npm uses"
        )
        if os.environ.get("CI"):
            pytest.fail(sentence, pytrace=False)
        pytest.skip(sentence)
    return folder


def _installed() -> Path | None:
    pins = b"".join(path.read_bytes() for path in sorted(PINNED.iterdir()))
    folder = INSTALLED / hashlib.sha256(pins).hexdigest()[:12]
    npm = shutil.which("npm")
    if folder.exists() or npm is None:
        return folder if folder.exists() else None
    INSTALLED.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=INSTALLED) as temporary:
        new = Path(shutil.copytree(PINNED, Path(temporary, "new")))
        command = (npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
        if subprocess.run(command, cwd=new, check=False).returncode:
            return None
        new.rename(folder)  # at once, so that a folder that is there is whole
    return folder


def ask(formatted: list[tuple[str, int, float]], frames: list[tuple[Json, list[Json]]]) -> Json:
    """Return what Grafana's own code answers: see ``tools/dashboard_types/data.cjs``."""
    question = json.dumps({"formatted": formatted, "frames": frames}, default=float)
    done = subprocess.run(
        ("node", "data.cjs"), cwd=checked_folder(), input=question, capture_output=True, text=True, check=True
    )
    answer: Json = json.loads(done.stdout)
    return answer


def errors(dashboards: list[Json]) -> list[str]:
    """Return what the compiler finds wrong with dashboards, their panels' options and their fields'."""
    folder = checked_folder()
    with tempfile.TemporaryDirectory(dir=runs.folder()) as temporary:
        here = Path(temporary)
        (here / "node_modules").symlink_to(folder / "node_modules")
        shutil.copy(folder / "tsconfig.json", here)
        (here / "check.ts").write_text(_source(here, dashboards))
        command = ("node_modules/.bin/tsc", "-p", "tsconfig.json", "--pretty", "false")
        done = subprocess.run(command, cwd=here, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def _source(folder: Path, dashboards: list[Json]) -> str:
    kinds = sorted({panel["type"] for dashboard in dashboards for panel in dashboard["panels"]})
    lines = ["import type { Dashboard } from '@grafana/schema';"]
    for kind in kinds:
        (types,) = (folder / OF_PANELS / kind / "panelcfg").glob("*/types.gen.d.ts")
        lines.append(f"import type * as {kind} from './{types.relative_to(folder)}';".replace(".d.ts", ".js"))
    lines.append(HEAD)
    for place, dashboard in enumerate(dashboards):
        # The type of an annotation is that of any data source; Prometheus has an expression.
        known = {name: value for name, value in dashboard.items() if name != "annotations"}
        lines.append(f"export const d{place}: Json<Dashboard> = {json.dumps(known)};")
        for panel in dashboard["panels"]:
            name, kind = f"d{place}p{panel['id']}", panel["type"]
            lines.append(
                f"export const {name}: Partial<Json<{kind}.Options>> = {json.dumps(panel['options'])};"
            )
            if custom := panel["fieldConfig"]["defaults"].get("custom"):
                lines.append(
                    f"export const {name}c: Partial<Json<{kind}.FieldConfig>> = {json.dumps(custom)};"
                )
    return "\n".join(lines)
