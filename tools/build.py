"""Build the programs that are missing or no longer what is pinned: `python -m tools.build`.

A build takes place in a temporary folder. Only when all is done, its programs move to `.tools`, and then its
key, so that whenever this is interrupted, `.tools` contains whole programs only, and those without a key are
built again. Go keeps its caches of modules and of packages where the user's Go keeps them.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Final

from tools.commands import BuildFailed, Commands
from tools.display import Display
from tools.programs import BUILDS, ROOT, TOOLS, Build, numbers
from tools.toolchain import ToolchainMissing, find_go

AT_ONCE: Final = 2
"""Builds at the same time: while one links, which takes one processor, the other compiles."""
PREFIX: Final = "building-"


def main(builds: Sequence[Build] = BUILDS) -> int:
    """Build what is missing, and return the exit status."""
    signal.signal(signal.SIGTERM, _interrupt)
    display = Display(sys.stdout)
    try:
        with _exclusive(TOOLS, display):
            build_all(builds, display)
    except (ToolchainMissing, BuildFailed) as error:
        display.end()
        print(f"make tools: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        display.end()
        print("make tools: interrupted; `make tools` continues with what is missing", file=sys.stderr)
        return 130
    return 0


def build_all(builds: Sequence[Build], display: Display, root: Path = ROOT, tools: Path = TOOLS) -> None:
    """Build those of `builds` that are not built yet.

    Raises:
        ToolchainMissing: no Go can build them.
        BuildFailed: one could not be built; the others that were begun are stopped.
    """
    missing = [build for build in builds if not build.is_built(root, tools)]
    for build in builds:
        if build not in missing:
            display.line(build, "kept")
    if missing:
        go, remark = find_go(max((build.go_version(root) for build in missing), key=numbers))
        display.remark(remark)
        _build_at_once(missing, go, display, root, tools)
    display.remark(f"The programs are in {os.path.relpath(tools)}.")


def _build_at_once(builds: Sequence[Build], go: str, display: Display, root: Path, tools: Path) -> None:
    commands = Commands(go)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        pending: set[Future[None]] = {
            pool.submit(_build, build, commands, display, root, tools) for build in builds
        }
        try:
            while pending:
                done, pending = wait(pending, timeout=0.5, return_when=FIRST_COMPLETED)
                for future in done:
                    future.result()
                display.refresh()
        except BaseException:
            for future in pending:
                future.cancel()
            commands.stop()
            raise


def _build(build: Build, commands: Commands, display: Display, root: Path, tools: Path) -> None:
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix=PREFIX, dir=tools) as temporary:
        source, output = Path(temporary, "source"), Path(temporary, "output")
        output.mkdir()
        shutil.copytree(build.pins(root), source)
        display.begin(build)
        if build.generator:
            _generate(build.generator, source, commands, root, Path(temporary))
        target = output if len(build.packages) > 1 else output / next(iter(build.packages))
        commands.run(
            *("build", "-v", *build.flags(), "-o", str(target), *build.packages.values()),
            cwd=source,
            count=lambda: display.count(build),
        )
        _install(build, output, root, tools)
    display.line(build, "built", time.monotonic() - began)


def _generate(generator: Build, source: Path, commands: Commands, root: Path, temporary: Path) -> None:
    """Write the Collector's source; its modules remain those of our `go.mod` and `go.sum`."""
    program = temporary / generator.name
    package = next(iter(generator.packages.values()))
    commands.run("build", *generator.flags(), "-o", str(program), package, cwd=generator.pins(root))
    pins = {name: (source / name).read_bytes() for name in ("go.mod", "go.sum")}
    commands.run_program(
        program, "--config", "manifest.yaml", "--skip-compilation", "--skip-get-modules", cwd=source
    )
    for name, content in pins.items():
        (source / name).write_bytes(content)


def _install(build: Build, output: Path, root: Path, tools: Path) -> None:
    key = tools / f"{build.name}.key"
    key.unlink(missing_ok=True)
    for program in build.packages:
        (output / program).replace(tools / program)
    (output / "key").write_text(build.key(root))
    (output / "key").replace(key)


@contextmanager
def _exclusive(tools: Path, display: Display) -> Iterator[None]:
    """Wait for another `make tools` in this repository, and remove what a killed one left."""
    tools.mkdir(exist_ok=True)
    with (tools / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            display.remark("Another `make tools` is building: waiting for it.")
            fcntl.flock(lock, fcntl.LOCK_EX)
        for left in tools.glob(f"{PREFIX}*"):
            shutil.rmtree(left, ignore_errors=True)
        yield


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
