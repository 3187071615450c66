"""Grafana's own types, and the compiler that checks the dashboards against them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Final

import pytest

from tests import runs
from tests.grafana.dashboards import Json

PINNED: Final = Path(__file__).parents[2] / "tools" / "dashboard_types"
"""What is installed, with checksums."""
OF_PANELS: Final = "node_modules/@grafana/schema/dist/types/raw/composable"
HEAD: Final = """
// Enums by their string values, as JSON has them.
type Json<T> = T extends string ? `${T}`
  : T extends number | boolean | null | undefined ? T
  : T extends (infer U)[] ? Json<U>[]
  : T extends object ? { [K in keyof T]: Json<T[K]> } : T;
"""


def checked_folder() -> Path:
    """Return the folder with types and compiler; without Node the test is skipped or, in CI, fails."""
    folder = runs.shared("dashboard-types", _installed)
    if folder is None:
        sentence = "Grafana's types are not checked: that needs npm, and the registry that it uses"
        if os.environ.get("CI"):
            pytest.fail(sentence, pytrace=False)
        pytest.skip(sentence)
    return folder


def _installed() -> Path | None:
    npm = shutil.which("npm")
    if npm is None:
        return None
    folder = runs.folder() / "dashboard-types"
    shutil.copytree(PINNED, folder)
    command = (npm, "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--silent")
    return None if subprocess.run(command, cwd=folder, check=False).returncode else folder


def errors(dashboards: list[Json]) -> list[str]:
    """Return what the compiler finds wrong with dashboards, their panels' options and their fields'."""
    folder = checked_folder()
    (folder / "check.ts").write_text(_source(folder, dashboards))
    command = ("node_modules/.bin/tsc", "-p", "tsconfig.json", "--pretty", "false")
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
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
