"""Page and picture of the architecture agree with the code."""

from __future__ import annotations

import re
import tomllib
import xml.etree.ElementTree as ET
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/explanation/architecture.md").read_text()


def test_every_layer_is_in_the_picture() -> None:
    """The picture has the layers of the contract, in the same order, from the front doors down."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (layers,) = [one["layers"] for one in project["tool"]["importlinter"]["contracts"] if "layers" in one]
    picture = PAGE.partition("flowchart TD")[2].partition("```")[0]
    modules = [module for layer in layers for module in layer.split(" : ")]
    modules.remove("telemetry.testing")  # for tests of applications; no process runs it
    matches = [re.search(rf"(?<![\w-]){module.partition('.')[2]}\b(?!\[)", picture) for module in modules]
    places = [match.start() for match in matches if match]

    assert len(places) == len(modules)
    assert places == sorted(places)


def test_named_files_exist() -> None:
    """Each file that the page refers to is in the repository."""
    files = re.findall(r"`((?:telemetry|exporters)/[\w/.]+)`", PAGE)

    assert len(files) >= 5
    assert [name for name in files if not (ROOT / name).is_file()] == []


def test_picture_is_self_contained_and_shown() -> None:
    """It is well-formed, loads nothing from elsewhere, and is shown in the README."""
    source = (ROOT / "docs/explanation/architecture.svg").read_text()
    words = " ".join(filter(None, (text.text for text in ET.fromstring(source).iter() if text.text)))

    assert {"Spool", "Writer", "Recording", "telemetry_*"} <= set(words.split())
    assert re.findall(r'(?:href|src)="|url\((?!#)', source) == []
    assert "prefers-color-scheme: dark" in source
    assert "(docs/explanation/architecture.svg)" in (ROOT / "README.md").read_text()
