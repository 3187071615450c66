"""The promises of the repository's own papers and commands."""

from __future__ import annotations

import re
import subprocess
import tomllib
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).parents[2]
MAKEFILE = (ROOT / "Makefile").read_text()
TARGETS = set(re.findall(r"^([a-z][a-z-]*):", MAKEFILE, re.MULTILINE))
PAPERS = [
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CHANGELOG.md",
    "docs/**/*.md",
    "changelog.d/README.md",
]


def tracked_files() -> list[Path]:
    listing = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, check=True, text=True)
    return [ROOT / name for name in listing.stdout.split("\0") if name and (ROOT / name).is_file()]


def papers() -> list[Path]:
    return sorted(chain.from_iterable(ROOT.glob(pattern) for pattern in PAPERS))


def pins() -> dict[str, str]:
    lock = (ROOT / "constraints.txt").read_text()
    return {
        canonicalize_name(name): version
        for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE)
    }


def requirements() -> Iterator[Requirement]:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = project["project"]["optional-dependencies"].values()
    groups = project["dependency-groups"].values()
    for line in chain(
        project["project"]["dependencies"], *extras, *groups, project["build-system"]["requires"]
    ):
        if isinstance(line, str) and not line.startswith(project["project"]["name"]):
            yield Requirement(line)


def test_no_file_names_a_package_index() -> None:
    """Where packages come from is up to whoever installs them: no file points anywhere."""
    hosts = [".".join(parts) for parts in (("pypi", "org"), ("files", "pythonhosted", "org"))]
    hosts += [".".join(parts) for parts in (("registry", "npmjs", "org"), ("proxy", "golang", "org"))]
    guilty = {
        str(path.relative_to(ROOT)): host
        for path in tracked_files()
        for host in hosts
        if host.encode() in path.read_bytes()
    }

    assert guilty == {}


def test_every_requirement_is_pinned_by_hash() -> None:
    """The lock holds what pyproject.toml asks for, in versions that it allows, all with hashes."""
    versions = pins()
    missing = {
        str(need)
        for need in requirements()
        if not need.specifier.contains(versions.get(canonicalize_name(need.name), "0"), True)
    }
    lock = (ROOT / "constraints.txt").read_text()
    entries = re.split(r"^(?=[\w.-]+==)", lock, flags=re.MULTILINE)[1:]

    assert missing == set(), "run `make lock`"
    assert [entry.partition(" ")[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert not re.search(r"^--", lock, re.MULTILINE)


def test_every_make_target_has_a_sentence() -> None:
    """`make` alone tells what can be done, in plain text when nobody looks at it in a terminal."""
    shown = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    sentences = dict(re.findall(r"^make ([a-z-]+) +([A-Z].*\.)$", shown, re.MULTILINE))

    assert sentences.keys() == TARGETS
    assert "\033" not in shown


@pytest.mark.parametrize("paper", papers(), ids=lambda path: str(path.relative_to(ROOT)))
def test_papers_name_real_commands_and_files(paper: Path) -> None:
    """Every `make …` and every relative link in the documentation leads somewhere."""
    text = paper.read_text()
    commands = re.findall(r"(?:`|^\$ )make ([a-z][a-z-]*)", text, re.MULTILINE)
    links = re.findall(r"\]\((?!https?:|#)([^)#]+)", text)

    assert set(commands) <= TARGETS
    assert [link for link in links if not (paper.parent / link).exists()] == []


def test_readme_shows_both_commands_on_its_first_screen() -> None:
    """A reader knows how to see it work without scrolling."""
    first_screen = (ROOT / "README.md").read_text().partition("\n## ")[0]

    assert {"demo", "test"} <= set(re.findall(r"^\$ make ([a-z-]+)", first_screen, re.MULTILINE))


def test_every_decision_is_listed() -> None:
    """The index of the decision records is complete."""
    index = (ROOT / "docs/decisions/README.md").read_text()

    assert [path.name for path in ROOT.glob("docs/decisions/0*.md") if f"({path.name})" not in index] == []
