"""Run Python programs in fresh processes, without a second of imports for each.

A fork server, here called a *nursery*, imports what many programs need, and does nothing else. Each program
runs in a child that is forked from it, with its own environment, directory and files, and to the end of the
interpreter, as with ``subprocess.Popen([sys.executable, …])``. The only difference is that the imports happen
before the environment is set.
"""

from __future__ import annotations

import atexit
import os
import subprocess
from collections.abc import Mapping
from contextlib import ExitStack
from functools import cache
from pathlib import Path

from tests.fresh.child import Child
from tests.fresh.imports import LIBRARIES, PROJECT
from tests.fresh.nursery import ROOT, Nursery, nursery

__all__ = ["LIBRARIES", "PROJECT", "Child", "Nursery", "nursery", "run", "start", "talk"]


@cache
def _of_project() -> Nursery:
    """Return the nursery of this process in which the checkout is imported, too."""
    stack = ExitStack()
    atexit.register(stack.close)
    return stack.enter_context(nursery(PROJECT))


def run(*command: str, cwd: Path, env: Mapping[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program of this checkout, for which its parts and the libraries are imported already.

    The arguments and the result are those of :meth:`Nursery.run`.
    """
    return _of_project().run(*command, cwd=cwd, env=env)


def start(
    *command: str,
    cwd: Path,
    env: Mapping[str, str] | None = None,
    files: Mapping[int, int],
    new_session: bool = False,
) -> Child:
    """Start a program of this checkout; the arguments are those of :meth:`Nursery.start`."""
    return _of_project().start(*command, cwd=cwd, env=env, files=files, new_session=new_session)


def talk(*command: str, cwd: Path = ROOT, env: Mapping[str, str] | None = None) -> Child:
    """Start a program of this checkout with pipes as its input, its output and its errors, for text.

    The other arguments are those of :meth:`Nursery.start`.
    """
    (stdin, to_it), (from_it, stdout), (errors, stderr) = os.pipe(), os.pipe(), os.pipe()
    child = start(*command, cwd=cwd, env=env, files={0: stdin, 1: stdout, 2: stderr})
    for theirs in (stdin, stdout, stderr):
        os.close(theirs)
    child.stdin, child.stdout, child.stderr = open(to_it, "w"), open(from_it), open(errors)
    return child
