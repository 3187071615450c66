"""Programs in processes in which nothing has happened yet, without a second of imports for each.

One process (a *nursery*) imports what many programs need, and does nothing else; each program runs in a child
forked from it, with its own environment, directory and output, to the end of the interpreter. It is what
``subprocess.run([sys.executable, "-c", program])`` is, except that the imports were made before the
environment was known.
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
    """Runs programs one at a time; see :func:`nursery`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(
        self, program: str, *, cwd: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end; what it printed is text.

        Args:
            program: source, which is run as ``__main__``.
            cwd: its directory, which is also the first of its import path.
            env: its whole environment; None is this process's.
        """
        asked = {"program": program, "cwd": str(cwd), "env": dict(os.environ if env is None else env)}
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            files = {
                "out": f"/proc/{os.getpid()}/fd/{out.fileno()}",
                "err": f"/proc/{os.getpid()}/fd/{err.fileno()}",
            }
            assert self._process.stdin and self._process.stdout
            self._process.stdin.write(json.dumps(asked | files) + "\n")
            self._process.stdin.flush()
            status = int(self._process.stdout.readline())
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(["-c", program], status, out.read(), err.read())


@contextmanager
def nursery(imports: str) -> Iterator[Nursery]:
    """A process that has imported what many programs need, while the `with` block runs.

    Args:
        imports: statements that import, and have no other effect: no thread, no set-up, no setting read.
    """
    command = [sys.executable, "-c", "from tests.fresh import serve; serve()", imports]
    with subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        yield Nursery(process)
        assert process.stdin
        process.stdin.close()


def serve() -> None:
    """Be a nursery: a line of JSON asks for a program, a line with its exit status answers."""
    exec(sys.argv[1], {})
    for line in sys.stdin:
        child = os.fork()
        if not child:
            _become(json.loads(line))
            return
        _, status = os.waitpid(child, 0)
        print(os.waitstatus_to_exitcode(status), flush=True)


def _become(asked: dict[str, Any]) -> None:
    """Run the program; what it leaves to the end of the interpreter happens after the return."""
    for descriptor, path in ((0, os.devnull), (1, asked["out"]), (2, asked["err"])):
        opened = os.open(path, os.O_RDONLY if descriptor == 0 else os.O_WRONLY)
        os.dup2(opened, descriptor)
        os.close(opened)
    os.chdir(asked["cwd"])
    os.environ.clear()
    os.environ.update(asked["env"])
    sys.argv, sys.path[0] = ["-c"], ""
    main = sys.modules["__main__"]
    vars(main).pop("serve", None)
    exec(compile(asked["program"], "<string>", "exec"), vars(main))
