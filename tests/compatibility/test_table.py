"""The table of supported versions agrees with `pyproject.toml` and with its page."""

from __future__ import annotations

import re
import tomllib
from importlib.metadata import requires

import pytest
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from telemetry.setup import compatibility
from telemetry.setup.compatibility import LIBRARIES, Library, _key, problem_of
from tests.environments import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
PAGE = (ROOT / "docs/reference/compatibility.md").read_text()


PINNED_ONLY = {"opentelemetry-instrumentation", "opentelemetry-util-genai"}
"""Packages that extras name only to pin their versions."""


def requirements() -> dict[str, tuple[str, SpecifierSet]]:
    """Return the requirements of `pyproject.toml` by name: the first extra, and the versions."""
    extras = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    needs = [(extra, Requirement(line)) for extra, lines in extras.items() for line in lines]
    unknown = {PROJECT["name"], *PINNED_ONLY}
    return {need.name: (extra, need.specifier) for extra, need in reversed(needs) if need.name not in unknown}


def test_table_agrees_with_the_requirements() -> None:
    """Every requirement is in it, with its extra, and its lower bound or a version within the bounds."""
    listed = {library.name: library for library in LIBRARIES}
    required = requirements()

    assert required.keys() == {library.name for library in LIBRARIES if library.extra} | {"opentelemetry-api"}
    assert {name: listed[name].extra for name in required} == {
        name: extra for name, (extra, _) in required.items()
    }
    for name, (_, versions) in required.items():
        (bound,) = versions
        if bound.operator == "==":
            assert SpecifierSet(listed[name].bounds).contains(bound.version, prereleases=True), name
        else:
            assert str(bound) == f">={listed[name].at_least}", name


def test_openai_has_the_bounds_of_its_instrumentation() -> None:
    """The official instrumentation decides which versions are supported."""
    (upstream,) = (
        Requirement(line).specifier
        for line in requires("opentelemetry-instrumentation-genai-openai") or ()
        if Requirement(line).name == "openai"
    )
    (openai,) = (library for library in LIBRARIES if library.name == "openai")

    assert SpecifierSet(openai.bounds) == upstream


def test_page_shows_the_table() -> None:
    """`docs/reference/compatibility.md` has a row for each library, and no other."""
    rows = re.findall(
        r"^\| `([\w-]+)`(?: or `([\w-]+)`)? \| `(.*?)` \| (?:`(\w+)`)? ?\| (.*) \|$", PAGE, re.MULTILINE
    )

    assert rows == [
        (library.name, library.alternative, library.bounds, library.extra, library.consequence)
        for library in LIBRARIES
    ]
    assert f"Python {PROJECT['requires-python'].removeprefix('>=')} or newer" in PAGE


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_tested_versions_are_supported(library: Library) -> None:
    """The versions in the lock are within the bounds."""
    pinned = re.findall(
        rf"^(?:{library.name}|{library.alternative or library.name})==(\S+)",
        (ROOT / "constraints.txt").read_text(),
        re.MULTILINE,
    )

    assert pinned, "not tested at all"
    assert all(SpecifierSet(library.bounds).contains(version, prereleases=True) for version in pinned)


@pytest.mark.parametrize(
    "versions",
    [
        ["0.28.1", "1.0", "1.6.1", "1.26.0rc1", "1.26.0", "1.26.1", "2.0", "10.0.0"],
        ["0.65b9", "0.66a1", "0.66b1", "0.66b2", "0.66b10", "0.66rc1", "0.66", "0.66.1"],
    ],
)
def test_versions_are_ordered_as_by_packaging(versions: list[str]) -> None:
    """Our own comparison, which does not need `packaging`, agrees with it."""
    assert sorted(versions, key=Version) == versions
    assert sorted(versions, key=_key) == versions


def test_equal_versions_are_equal() -> None:
    """Trailing zeros and a leading v do not matter."""
    assert _key("4") == _key("4.0.0") == _key("v4.0")


@pytest.mark.parametrize(
    ("version", "reason"),
    [
        ("0.28.1", "openai 0.28.1 is not supported any more (1.26.0 or newer is)"),
        ("1.25.2", "openai 1.25.2 is not supported any more (1.26.0 or newer is)"),
        ("1.26.0", None),
        ("3.99", None),
        ("4.0", "openai 4.0 is not supported yet (below 4 is)"),
    ],
)
def test_openai_outside_the_bounds_is_reported(
    version: str, reason: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reason names the bound; versions at the bound are supported."""
    monkeypatch.setattr(compatibility, "installed", {"openai": version}.get)
    (openai,) = (library for library in LIBRARIES if library.name == "openai")

    problem = problem_of(openai)

    assert (problem and problem.reason) == reason
