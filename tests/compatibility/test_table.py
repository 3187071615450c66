"""One table of supported versions: in the code, in `pyproject.toml`, and on its page."""

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


ON_THE_TRAIN_ALONE = {"opentelemetry-instrumentation", "opentelemetry-util-genai"}
"""What extras name so that each leads to the same versions, and we do not use ourselves."""


def asked_for() -> dict[str, tuple[str, SpecifierSet]]:
    """What `pyproject.toml` asks for: by name, the first extra that does, and the versions."""
    extras = {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}
    needs = [(extra, Requirement(line)) for extra, lines in extras.items() for line in lines]
    unknown = {PROJECT["name"], *ON_THE_TRAIN_ALONE}
    return {need.name: (extra, need.specifier) for extra, need in reversed(needs) if need.name not in unknown}


def test_the_table_holds_what_we_ask_for() -> None:
    """Every requirement is there with its extra, and with its lower bound or a version within the bounds."""
    ours = {library.name: library for library in LIBRARIES}
    asked = asked_for()

    assert asked.keys() == {library.name for library in LIBRARIES if library.extra} | {"opentelemetry-api"}
    assert {name: ours[name].extra for name in asked} == {name: extra for name, (extra, _) in asked.items()}
    for name, (_, versions) in asked.items():
        (bound,) = versions
        if bound.operator == "==":
            assert SpecifierSet(ours[name].bounds).contains(bound.version, prereleases=True), name
        else:
            assert str(bound) == f">={ours[name].at_least}", name


def test_openai_is_supported_as_far_as_its_instrumentation_goes() -> None:
    """The bounds of `openai` are those of the instrumentation, whose words decide."""
    (theirs,) = (
        Requirement(line).specifier
        for line in requires("opentelemetry-instrumentation-genai-openai") or ()
        if Requirement(line).name == "openai"
    )
    (openai,) = (library for library in LIBRARIES if library.name == "openai")

    assert SpecifierSet(openai.bounds) == theirs


def test_the_page_shows_the_table() -> None:
    """`docs/reference/compatibility.md` has a row for each library, and no other."""
    rows = re.findall(
        r"^\| `([\w-]+)`(?: or `([\w-]+)`)? \| `(.*?)` \| (?:`(\w+)`)? ?\| (.*) \|$", PAGE, re.MULTILINE
    )

    assert rows == [
        (library.name, library.also, library.bounds, library.extra, library.otherwise)
        for library in LIBRARIES
    ]
    assert f"Python {PROJECT['requires-python'].removeprefix('>=')} or newer" in PAGE


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_what_is_tested_is_supported(library: Library) -> None:
    """The versions that these tests run with are within the bounds."""
    pinned = re.findall(
        rf"^(?:{library.name}|{library.also or library.name})==(\S+)",
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
def test_versions_are_ordered_as_packaging_orders_them(versions: list[str]) -> None:
    """Our own comparison, which works where `packaging` is missing, agrees with it."""
    assert sorted(versions, key=Version) == versions
    assert sorted(versions, key=_key) == versions


def test_equal_versions_are_equal() -> None:
    """Trailing zeros mean nothing."""
    assert _key("4") == _key("4.0.0") == _key("v4.0")


@pytest.mark.parametrize(
    ("found", "reason"),
    [
        ("0.28.1", "openai 0.28.1 is not supported any more (1.26.0 or newer is)"),
        ("1.25.2", "openai 1.25.2 is not supported any more (1.26.0 or newer is)"),
        ("1.26.0", None),
        ("3.99", None),
        ("4.0", "openai 4.0 is not supported yet (below 4 is)"),
    ],
)
def test_the_bounds_of_openai(found: str, reason: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest supported version is; what is older is named with it."""
    monkeypatch.setattr(compatibility, "installed", {"openai": found}.get)
    (openai,) = (library for library in LIBRARIES if library.name == "openai")

    problem = problem_of(openai)

    assert (problem and problem.reason) == reason
