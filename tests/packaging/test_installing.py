"""Every pip and uv resolves to the same packages, today and after later releases; extras work alone."""

from __future__ import annotations

import itertools
import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from tests.choice import whole_matrix
from tests.installers import PIPS, ROOT, check, create_environment, install, pythons, resolve
from tests.packaging import later

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS: list[str] = sorted(PROJECT["optional-dependencies"].keys() - {"all"})
INSTALLERS = ("uv", *PIPS)
FIRST = next(iter(pythons()))
other_installers = pytest.mark.whole_matrix("what one installer finds, another hardly ever does not")
CELLS = [
    *(pytest.param(python, "uv", marks=[] if python == FIRST else other_installers) for python in pythons()),
    *(
        pytest.param(python, pip, marks=other_installers)
        for pip, python in zip(PIPS, itertools.cycle(pythons()), strict=False)
    ),
]
"""uv on every Python, and every pip on one of them."""
OWN_RELEASES = ("genai-openai", "util-genai")
"""Packages of OpenTelemetry with a release cycle of their own, outside the train."""

HOST = """
import logging
logging.basicConfig(format="logged: %(message)s")
import telemetry
with telemetry.run("analysis"), telemetry.stage("ranking"), telemetry.document("a.pdf") as document:
    document.score(1, out_of=2)
Telemetry = telemetry.Telemetry
import flask
app = flask.Flask("host")
app.secret_key = "secret"
Telemetry(app)
if __name__ == "__main__":
    with telemetry.run("analysis", user_id=1):
        pass
    print("delivered" if telemetry.shutdown(30) else "kept")
"""
"""An application that logs the warnings of telemetry."""


def run(python: Path, folder: Path, *command: str) -> str:
    """Return the output of a command in the environment of an interpreter and the application's directory."""
    (folder / "host.py").write_text(HOST)
    environment = {
        "PATH": os.pathsep.join((str(python.parent), "/usr/bin", "/bin")),
        "FLASK_APP": "host",
        "TELEMETRY_DATABASE_URL": f"sqlite:///{folder}/host.sqlite",
        "TELEMETRY_SPOOL_DIR": str(folder / "spool"),
    }
    done = subprocess.run(
        [str(python), *command], cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    return done.stdout + done.stderr


def migrate(python: Path, folder: Path) -> str:
    """Create the tables by the command of the application, and return its output."""
    return run(python, folder, "-m", "flask", "telemetry", "db", "upgrade", "--with-base-tables")


def named_extras(output: str) -> set[str]:
    """Return the extras that messages ask to install."""
    return {
        extra for names in re.findall(r"analysis-telemetry\[([\w,]+)\]", output) for extra in names.split(",")
    }


def train(versions: dict[str, str]) -> dict[str, str]:
    """Return the packages of OpenTelemetry."""
    return {name: version for name, version in versions.items() if name.startswith("opentelemetry-")}


@pytest.fixture(scope="module")
def pinned() -> dict[str, str]:
    """The versions in `constraints.txt`, with which everything else is tested."""
    lock = (ROOT / "constraints.txt").read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))


@pytest.mark.parametrize(("python", "installer"), CELLS)
def test_every_installer_finds_the_tested_train(
    wheel: Path, pinned: dict[str, str], python: str, installer: str
) -> None:
    """`[all]` in an empty environment installs exactly the pinned packages of OpenTelemetry."""
    resolved = train(resolve(installer, pythons()[python], f"analysis-telemetry[all] @ {wheel.as_uri()}"))

    assert resolved.keys() == train(pinned).keys()
    assert resolved == train(pinned)


@pytest.mark.parametrize("number", range(len(EXTRAS)), ids=EXTRAS)
def test_single_extra_has_the_same_versions(wheel: Path, pinned: dict[str, str], number: int) -> None:
    """Installing a second extra later changes none of them: with uv on every Python, and one pip on one.

    Outside of the whole matrix: with uv on one Python.
    """
    extra, cells = EXTRAS[number], [(python, "uv") for python in pythons().values()]
    cells.append((list(pythons().values())[number % len(pythons())], PIPS[number % len(PIPS)]))
    for python, installer in cells if whole_matrix() else cells[:1]:
        resolved = train(resolve(installer, python, f"analysis-telemetry[{extra}] @ {wheel.as_uri()}"))
        if resolved.keys() == {"opentelemetry-api"}:
            continue  # without other packages of OpenTelemetry any version will do
        assert resolved.items() <= train(pinned).items(), (python, installer)


@pytest.fixture(scope="module")
def later_releases(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("later")
    later.build(folder)
    return folder


@pytest.mark.parametrize(
    "installer",
    [
        pytest.param(installer, marks=[] if installer == "uv" else other_installers)
        for installer in INSTALLERS
    ],
)
def test_later_releases_change_nothing(
    wheel: Path, pinned: dict[str, str], later_releases: Path, installer: str
) -> None:
    """Even if incomplete trains are released, today's wheel installs as it was tested."""
    python = next(iter(pythons().values()))
    requirement = f"analysis-telemetry[all] @ {wheel.as_uri()}"
    resolved = train(resolve(installer, python, requirement, "--find-links", str(later_releases)))

    assert resolved == train(pinned)


def test_opentelemetry_versions_are_consistent(pinned: dict[str, str]) -> None:
    """Each package of OpenTelemetry that an extra requires has one version, that of the train."""
    required = [Requirement(line) for lines in PROJECT["optional-dependencies"].values() for line in lines]
    versions = {need.name: str(need.specifier) for need in required if need.name.startswith("opentelemetry-")}
    on_train = {version for name, version in versions.items() if not name.endswith(OWN_RELEASES)}
    stable, beta = pinned["opentelemetry-sdk"], pinned["opentelemetry-instrumentation"]

    assert {str(need) for need in required if need.name in versions} == {
        f"{n}{v}" for n, v in versions.items()
    }
    assert on_train == {f"=={stable}", f"=={beta}"}


@pytest.mark.whole_matrix("what one installer installs that is named, another does, too")
@pytest.mark.parametrize("number", range(len(pythons())), ids=[*pythons()])
def test_full_installation_works(wheel: Path, tmp_path: Path, number: int) -> None:
    """With a real pip on a real Python nothing conflicts, and a run is stored without any warning."""
    installer = PIPS[-1 - number]
    python = create_environment(tmp_path / "environment", list(pythons().values())[number])
    install(installer, python, f"analysis-telemetry[all] @ {wheel.as_uri()}")

    assert "No broken requirements" in check(installer, python)
    assert "logged:" not in migrate(python, tmp_path)
    assert run(python, tmp_path, "host.py") == "delivered\n"


@pytest.mark.parametrize("extra", EXTRAS)
def test_single_extra_names_the_missing_ones(wheel: Path, tmp_path: Path, extra: str) -> None:
    """Instrumented code can be imported, and messages name the extras that are missing for the rest."""
    python = create_environment(tmp_path / "environment", next(iter(pythons().values())))
    install("uv", python, f"analysis-telemetry[{extra}] @ {wheel.as_uri()}")

    assert run(python, tmp_path, "-c", "import telemetry") == ""
    assert named_extras(run(python, tmp_path, "-c", "import host")) == {
        "flask" if extra != "flask" else "sdk"
    }


def test_installing_the_named_extras_leads_to_a_working_set(wheel: Path, tmp_path: Path) -> None:
    """After installing one missing extra after the other, a run is stored."""
    python = create_environment(tmp_path / "environment", next(iter(pythons().values())))
    installed, missing = set[str](), {"report"}
    while missing:
        installed |= missing
        install("uv", python, f"analysis-telemetry[{','.join(sorted(installed))}] @ {wheel.as_uri()}")
        output = run(python, tmp_path, "-c", "import host")
        missing = named_extras(output) or named_extras(output := migrate(python, tmp_path))
        assert not missing & installed, output

    assert installed == {"report", "sdk", "flask", "sql"}
    assert run(python, tmp_path, "host.py") == "delivered\n"
