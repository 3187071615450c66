"""The repository's own pages and commands: links, targets, pins and indexes are correct."""

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
TARGETS = set(re.findall(r"^([a-z][a-z0-9-]*):", MAKEFILE, re.MULTILINE))
PAGES = [
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


def documentation_pages() -> list[Path]:
    return sorted(chain.from_iterable(ROOT.glob(pattern) for pattern in PAGES))


def dead_links(text: str, page: Path) -> list[str]:
    """Return the relative links of a page to missing files or headings."""
    links = re.findall(r"\]\((?!https?:)([^)#\s]*)(?:#([^)\s]*))?\)", re.sub(r"(?ms)^```.*?^```", "", text))
    return [
        f"{name}#{anchor}" if anchor else name
        for name, anchor in links
        if not (target := page.parent / name if name else page).exists()
        or (anchor and anchor not in anchors(target))
    ]


def anchors(page: Path) -> set[str]:
    """Return the anchors of a page's headings, as GitHub generates them."""
    prose = re.sub(r"(?ms)^```.*?^```", "", page.read_text())
    headings = re.findall(r"^#+ (.+)$", prose, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).strip().replace(" ", "-") for heading in headings}


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
    """The package index is the choice of whoever installs."""
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
    """The lock holds all requirements of pyproject.toml, in versions that it allows, with hashes."""
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
    """`make` lists its targets, as plain text where the output is no terminal."""
    output = subprocess.run(
        ["make", "--no-print-directory"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    sentences = dict(re.findall(r"^make ([a-z0-9-]+) +([A-Z].*\.)$", output, re.MULTILINE))

    assert sentences.keys() == TARGETS
    assert "\033" not in output


@pytest.mark.parametrize("page", documentation_pages(), ids=lambda path: str(path.relative_to(ROOT)))
def test_pages_name_existing_commands_and_files(page: Path) -> None:
    """Every `make …` has its target, and every relative link its file and heading."""
    text = page.read_text()
    commands = re.findall(r"(?:`|^\$ )make ([a-z][a-z0-9-]*)", text, re.MULTILINE)

    assert set(commands) <= TARGETS
    assert dead_links(text, page) == []


def test_links_of_release_notes_are_valid() -> None:
    """A fragment becomes part of CHANGELOG.md, so that its links are relative to that file."""
    fragments = [path for path in ROOT.glob("changelog.d/*.md") if path.name != "README.md"]

    assert [link for path in fragments for link in dead_links(path.read_text(), ROOT / "CHANGELOG.md")] == []


def test_every_page_is_in_the_index() -> None:
    """docs/README.md links to every page, and to the indexes of decisions and runbooks."""
    index = (ROOT / "docs/README.md").read_text()
    pages = [path.relative_to(ROOT / "docs") for path in ROOT.glob("docs/*/*.md")]
    with_index = ("decisions", "runbooks")

    assert [str(page) for page in pages if page.parts[0] not in with_index and f"({page})" not in index] == []
    assert [name for name in with_index if f"({name}/README.md)" not in index] == []


def test_readme_shows_both_commands_on_its_first_screen() -> None:
    """They are above its first heading."""
    first_screen = (ROOT / "README.md").read_text().partition("\n## ")[0]

    assert {"demo", "test"} <= set(re.findall(r"^\$ make ([a-z0-9-]+)", first_screen, re.MULTILINE))


def test_every_decision_is_listed() -> None:
    """The index of the decision records is complete."""
    index = (ROOT / "docs/decisions/README.md").read_text()

    assert [path.name for path in ROOT.glob("docs/decisions/0*.md") if f"({path.name})" not in index] == []
