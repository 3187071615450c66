"""`make tools`: what it builds, keeps and builds again, and what it says if it cannot."""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tools.programs import BUILDS

ROOT = Path(__file__).parents[2]
BUILD_THESE = """
import sys
from tools.build import main
from tools.programs import Build
sys.exit(main([Build(name, "1.2.3", {name: "."}) for name in sys.argv[1:]]))
"""
SOURCE = """package main
import "os"
func main() { os.Stdout.WriteString("hello from %s") }
"""
GO_THAT_SAYS = """#!/bin/sh
printf '%s\\n' {lines}
"""
GO_THAT_HANGS = """#!/bin/sh
[ "$1" = env ] && printf 'go1.99.0\\nlocal\\n' && exit
for argument; do [ "$previous" = -o ] && echo half > "$argument"; previous=$argument; done
echo building > "$BEGAN"
exec sleep 600
"""
TESTS = """
import pytest
from tests import tools

@pytest.mark.parametrize("name", ["otelcol", "otelcol", "promtool"])
def test_program(name, monkeypatch, tmp_path):
    monkeypatch.setattr(tools.BUILDS[0].__class__, "is_built", lambda build: False)
    assert tools.program(name)
"""
SKIPPED = "3 tests skipped without otelcol, promtool: `make tools` builds them, once"
FAILED = "otelcol 0.161.0 is not built: run `make tools`"


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A repository with two small programs, `first` and `second`."""
    (tmp_path / "tools").mkdir()
    for file in (ROOT / "tools").glob("*.py"):
        shutil.copy(file, tmp_path / "tools")
    for name in ("first", "second"):
        folder = tmp_path / "tools" / name
        folder.mkdir()
        (folder / "go.mod").write_text(f"module {name}\n\ngo 1.21\n")
        (folder / "main.go").write_text(SOURCE % name)
    return tmp_path


def make_tools(repository: Path, *names: str, go: str | Path = "") -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", BUILD_THESE, *(names or ("first", "second"))]
    return subprocess.run(
        command, cwd=repository, env=_environment(go), capture_output=True, text=True, check=False
    )


def _environment(go: str | Path) -> dict[str, str]:
    return {**os.environ} | ({"GO": str(go)} if go else {})


def _script(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o755)
    return path


def test_programs_are_built_once(repository: Path) -> None:
    """The second call builds nothing and needs no Go; a changed pin builds that one program again."""
    first = make_tools(repository)
    assert first.returncode == 0, first.stdout + first.stderr
    assert len(re.findall(r"^(first|second) +1\.2\.3 +built in \d+ s$", first.stdout, re.M)) == 2
    hello = subprocess.run([repository / ".tools" / "first"], capture_output=True, text=True, check=True)
    assert hello.stdout == "hello from first"

    second = make_tools(repository, go="/nowhere/go")
    assert (second.returncode, second.stderr) == (0, "")
    assert [line.split()[-1] for line in second.stdout.splitlines()] == ["kept", "kept", ".tools."]

    (repository / "tools" / "second" / "main.go").write_text(SOURCE % "another")
    third = make_tools(repository)
    assert re.search(r"^first .* kept$", third.stdout, re.M)
    assert re.search(r"^second .* built in", third.stdout, re.M)


def test_no_toolchain(repository: Path) -> None:
    """One line says which Go to install."""
    done = make_tools(repository, go="/nowhere/go")

    assert done.returncode == 1
    assert done.stderr == (
        "make tools: /nowhere/go not found: install Go 1.21 or newer (https://go.dev/dl/), or name it in GO\n"
    )


@pytest.mark.parametrize(
    ("version", "policy", "way_out"),
    [
        ("go1.20.3", "", "install it (https://go.dev/dl/)\n"),
        ("go1.22.3", "local", "install it (https://go.dev/dl/), or let Go fetch it with GOTOOLCHAIN=auto\n"),
    ],
)
def test_old_toolchain(repository: Path, version: str, policy: str, way_out: str) -> None:
    """One line names the version that is needed, and the way out that this Go has."""
    (repository / "tools" / "first" / "go.mod").write_text("module first\n\ngo 1.26.7\n")
    go = _script(repository / "go", GO_THAT_SAYS.format(lines=f"{version} '{policy}'"))

    done = make_tools(repository, go=go)

    assert done.returncode == 1
    assert done.stderr == (f"make tools: {go} is Go {version[2:]}, but 1.26.7 or newer is needed: {way_out}")


def test_failure_shows_what_go_says(repository: Path) -> None:
    """A module that `go.sum` does not name is refused; nothing is left but what was built before."""
    assert make_tools(repository, "first").returncode == 0
    (repository / "tools" / "second" / "main.go").write_text(
        'package main\nimport _ "example.org/unpinned"\n'
    )

    done = make_tools(repository)

    assert done.returncode == 1
    assert "example.org/unpinned: import lookup disabled by -mod=readonly" in done.stderr
    assert _left(repository) == {"first", "first.key"}


@pytest.mark.parametrize("by", [signal.SIGINT, signal.SIGTERM])
def test_interrupted(repository: Path, by: signal.Signals) -> None:
    """Nothing half-built stays, neither do the processes of Go, and the next call continues."""
    began = repository / "began"
    go = _script(repository / "go", GO_THAT_HANGS)
    process = subprocess.Popen(
        [sys.executable, "-c", BUILD_THESE, "first"],
        cwd=repository,
        env=_environment(go) | {"BEGAN": str(began)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    deadline = time.monotonic() + 120
    while not began.exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.02)

    process.send_signal(by)
    # The pipe ends only when no child holds it any more.
    _, complaint = process.communicate(timeout=120)

    assert process.returncode == 130
    assert complaint == "make tools: interrupted; `make tools` continues with what is missing\n"
    assert _left(repository) == set()
    assert make_tools(repository, "first").returncode == 0


def test_what_a_killed_one_left_is_removed(repository: Path) -> None:
    """A build that was killed has left its folder: the next one removes it."""
    (repository / ".tools" / "building-x").mkdir(parents=True)

    assert make_tools(repository, "first").returncode == 0
    assert _left(repository) == {"first", "first.key"}


@pytest.mark.parametrize(("environment", "line"), [({}, SKIPPED), ({"CI": "true"}, FAILED)])
def test_tests_without_programs(tmp_path: Path, environment: dict[str, str], line: str) -> None:
    """Tests that need a program that is not built are skipped with one line; in CI they fail."""
    (tmp_path / "test_one.py").write_text(TESTS)
    command = [sys.executable, "-m", "pytest", "-q", "-c", os.devnull, "-p", "tests.conftest", str(tmp_path)]
    outside_ci = {name: value for name, value in os.environ.items() if name != "CI"}

    done = subprocess.run(
        command, cwd=ROOT, env=outside_ci | environment, capture_output=True, text=True, check=False
    )

    assert line in done.stdout
    assert done.returncode == bool(environment)


def test_collector_modules_are_those_of_the_manifest() -> None:
    """The lock of the Collector pins each component at the version in its manifest, and one release."""
    folder = ROOT / "tools" / "collector"
    components = re.findall(r"gomod: (\S+) (v\S+)", (folder / "manifest.yaml").read_text())
    modules = dict(re.findall(r"^\t(\S+) (v\S+)$", (folder / "go.mod").read_text(), re.M))
    release = next(build.version for build in BUILDS if build.name == "collector")

    assert len(components) > 10
    assert {name: modules.get(name) for name, _ in components} == dict(components)
    providers = {name for name, _ in components if "/confmap/provider/" in name}
    assert {version for name, version in components if name not in providers} == {f"v{release}"}


def _left(repository: Path) -> set[str]:
    return {path.name for path in (repository / ".tools").iterdir()} - {".lock"}
