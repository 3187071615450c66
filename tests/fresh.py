"""Run programs in fresh processes, without a second of imports for each.

A fork server, here called a *nursery*, imports what many programs need, and does nothing else. Each program
runs in a child that is forked from it, with its own environment, directory and output, and to the end of the
interpreter, as with ``subprocess.run([sys.executable, "-c", program])``. The only difference is that the
imports happen before the environment is set.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


class Nursery:
    """Runs programs, one at a time; see :func:`nursery`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(
        self, program: str, *, cwd: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, and return its output as text.

        Args:
            program: source code, run as ``__main__``.
            cwd: working directory, and first entry of the import path.
            env: all environment variables; default: those of this process.
        """
        request = {"program": program, "cwd": str(cwd), "env": dict(os.environ if env is None else env)}
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            files = {
                "out": f"/proc/{os.getpid()}/fd/{out.fileno()}",
                "err": f"/proc/{os.getpid()}/fd/{err.fileno()}",
            }
            assert self._process.stdin and self._process.stdout
            self._process.stdin.write(json.dumps(request | files) + "\n")
            self._process.stdin.flush()
            status = int(self._process.stdout.readline())
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(["-c", program], status, out.read(), err.read())


@contextmanager
def nursery(imports: str) -> Iterator[Nursery]:
    """Start a process that has made these imports; it ends with the `with` block.

    Args:
        imports: import statements without other effects: they start no thread and read no setting.
    """
    command = [sys.executable, "-c", "from tests.fresh import serve; serve()", imports]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Nursery(process)
        assert process.stdin
        process.stdin.close()


def serve() -> None:
    """Serve as the nursery: read requests as lines of JSON, and print the exit status of each program."""
    exec(sys.argv[1], {})
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _run_request(json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _run_request(request: dict[str, Any]) -> None:
    """Run the requested program in this forked child; its exit hooks run after the return."""
    for descriptor, path in ((0, os.devnull), (1, request["out"]), (2, request["err"])):
        opened = os.open(path, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    sys.argv, sys.path[0] = ["-c"], ""
    main = sys.modules["__main__"]
    vars(main).pop("serve", None)
    exec(compile(request["program"], "<string>", "exec"), vars(main))
