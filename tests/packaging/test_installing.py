"""Every pip and uv finds the same packages, today and after later releases, and each extra works alone."""

from __future__ import annotations

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
    pytest.param(python, installer, marks=[] if installer == "uv" and python == FIRST else other_installers)
    for python in pythons()
    for installer in INSTALLERS
]
OWN_RHYTHM = ("genai-openai", "util-genai")
"""Packages of OpenTelemetry whose versions are not those of the train."""

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
"""An application that logs what telemetry finds fault with."""


def run(python: Path, folder: Path, *command: str) -> str:
    """Return all that a command says, in the environment of an interpreter and an application's directory."""
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
    """Have the tables made by the command of the application; return what it says."""
    return run(python, folder, "-m", "flask", "telemetry", "db", "upgrade", "--with-base-tables")


def named_extras(said: str) -> set[str]:
    """Return the extras that messages say to install."""
    return {
        extra for names in re.findall(r"analysis-telemetry\[([\w,]+)\]", said) for extra in names.split(",")
    }


def train(versions: dict[str, str]) -> dict[str, str]:
    """Return what is of OpenTelemetry."""
    return {name: version for name, version in versions.items() if name.startswith("opentelemetry-")}


@pytest.fixture(scope="module")
def pinned() -> dict[str, str]:
    """What `constraints.txt` holds, with which everything else is tested."""
    lock = (ROOT / "constraints.txt").read_text()
    return dict(re.findall(r"^([\w.-]+)==(\S+)", lock, re.MULTILINE))


@pytest.mark.parametrize(("python", "installer"), CELLS)
def test_every_installer_finds_the_tested_train(
    wheel: Path, pinned: dict[str, str], python: str, installer: str
) -> None:
    """Of OpenTelemetry, `[all]` in an empty environment is what the lock pins, and nothing else."""
    found = train(resolve(installer, pythons()[python], f"analysis-telemetry[all] @ {wheel.as_uri()}"))

    assert found.keys() == train(pinned).keys()
    assert found == train(pinned)


@pytest.mark.parametrize("number", range(len(EXTRAS)), ids=EXTRAS)
def test_an_extra_alone_is_on_the_same_train(wheel: Path, pinned: dict[str, str], number: int) -> None:
    """With uv on every Python, and with one of the pips on one of them: a second extra moves nothing.

    Outside of the whole matrix: with uv on one Python.
    """
    extra, cells = EXTRAS[number], [(python, "uv") for python in pythons().values()]
    cells.append((list(pythons().values())[number % len(pythons())], PIPS[number % len(PIPS)]))
    for python, installer in cells if whole_matrix() else cells[:1]:
        found = train(resolve(installer, python, f"analysis-telemetry[{extra}] @ {wheel.as_uri()}"))
        if found.keys() == {"opentelemetry-api"}:
            continue  # any will do where nothing else is of OpenTelemetry
        assert found.items() <= train(pinned).items(), (python, installer)


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
def test_releases_to_come_move_nothing(
    wheel: Path, pinned: dict[str, str], later_releases: Path, installer: str
) -> None:
    """Whatever comes out of the train by halves, today's wheel keeps installing as it was tested."""
    python = next(iter(pythons().values()))
    requirement = f"analysis-telemetry[all] @ {wheel.as_uri()}"
    found = train(resolve(installer, python, requirement, "--find-links", str(later_releases)))

    assert found == train(pinned)


def test_the_train_is_named_once(pinned: dict[str, str]) -> None:
    """Each package of OpenTelemetry that an extra asks for has one version, and that of its train."""
    asked = [Requirement(line) for lines in PROJECT["optional-dependencies"].values() for line in lines]
    versions = {need.name: str(need.specifier) for need in asked if need.name.startswith("opentelemetry-")}
    on_train = {version for name, version in versions.items() if not name.endswith(OWN_RHYTHM)}
    stable, beta = pinned["opentelemetry-sdk"], pinned["opentelemetry-instrumentation"]

    assert {str(need) for need in asked if need.name in versions} == {f"{n}{v}" for n, v in versions.items()}
    assert on_train == {f"=={stable}", f"=={beta}"}


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(number, marks=other_installers if number else [], id=python)
        for number, python in enumerate(pythons())
    ],
)
def test_everything_installed_works(wheel: Path, tmp_path: Path, number: int) -> None:
    """With a real pip on a real Python: nothing conflicts, and a run reaches the tables without a word."""
    installer = PIPS[number % len(PIPS)]
    python = create_environment(tmp_path / "environment", list(pythons().values())[number])
    install(installer, python, f"analysis-telemetry[all] @ {wheel.as_uri()}")

    assert "No broken requirements" in check(installer, python)
    assert "logged:" not in migrate(python, tmp_path)
    assert run(python, tmp_path, "host.py") == "delivered\n"


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_alone_names_the_next_one(wheel: Path, tmp_path: Path, extra: str) -> None:
    """Instrumented code can be imported, and what is missing for the rest is named with its extra."""
    python = create_environment(tmp_path / "environment", next(iter(pythons().values())))
    install("uv", python, f"analysis-telemetry[{extra}] @ {wheel.as_uri()}")

    assert run(python, tmp_path, "-c", "import telemetry") == ""
    assert named_extras(run(python, tmp_path, "-c", "import host")) == {
        "flask" if extra != "flask" else "sdk"
    }


def test_who_installs_what_is_named_ends_with_what_works(wheel: Path, tmp_path: Path) -> None:
    """One extra after the other, each of which was missing; then a run reaches the tables."""
    python = create_environment(tmp_path / "environment", next(iter(pythons().values())))
    there, missing = set[str](), {"report"}
    while missing:
        there |= missing
        install("uv", python, f"analysis-telemetry[{','.join(sorted(there))}] @ {wheel.as_uri()}")
        said = run(python, tmp_path, "-c", "import host")
        missing = named_extras(said) or named_extras(said := migrate(python, tmp_path))
        assert not missing & there, said

    assert there == {"report", "sdk", "flask", "sql"}
    assert run(python, tmp_path, "host.py") == "delivered\n"
