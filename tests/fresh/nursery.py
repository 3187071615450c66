"""The test's side of a nursery, which starts it and asks it to start programs."""

from __future__ import annotations

import json
import os
import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from tests.fresh.child import Child
from tests.fresh.serving import LARGEST_REQUEST

ROOT = Path(__file__).resolve().parents[2]


class Nursery:
    """Starts programs; see :func:`nursery`."""

    def __init__(self, connection: socket.socket) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._unread = b""
        self._started: list[int] = []
        self._codes: dict[int, int] = {}

    def run(
        self, *command: str, cwd: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, and return its output as text; the arguments are those of `start`."""
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            child = self.start(*command, cwd=cwd, env=env, files={1: out.fileno(), 2: err.fileno()})
            code = child.wait()
            out.seek(0)
            err.seek(0)
            return subprocess.CompletedProcess(list(command), code, out.read(), err.read())

    def start(
        self,
        *command: str,
        cwd: Path,
        env: Mapping[str, str] | None = None,
        files: Mapping[int, int],
        new_session: bool = False,
    ) -> Child:
        """Start a program.

        Args:
            command: ``-c`` and source code, ``-m`` and a module, or a file; then the arguments.
            cwd: working directory.
            env: all environment variables; default: those of this process. Of the interpreter's own, only
                ``PYTHONPATH`` has an effect.
            files: descriptors of this process, by the descriptor that the program gets; it reads nothing.
            new_session: whether it begins a session, and so a process group.
        """
        request = {
            "command": command,
            "cwd": str(cwd),
            "env": dict(os.environ if env is None else env),
            "files": list(files),
            "new_session": new_session,
        }
        with self._lock:
            socket.send_fds(self._connection, [json.dumps(request).encode()], list(files.values()))
            while not self._started:
                self._read(None)
            return Child(self, self._started.pop())

    def exit_code(self, pid: int, timeout: float | None) -> int | None:
        """Return the exit code of a child, or None if it does not end in this time (seconds)."""
        deadline = None if timeout is None else time.monotonic() + timeout
        while True:
            with self._lock:
                if pid in self._codes:
                    return self._codes[pid]
                # Others may wait, too: each gives way after a moment.
                left = 0.1 if deadline is None else min(0.1, max(0.0, deadline - time.monotonic()))
                is_over = not self._read(left) and deadline is not None and time.monotonic() >= deadline
                if is_over:
                    return None

    def _read(self, timeout: float | None) -> bool:
        """Read what the nursery reports of its children; return whether there was anything."""
        if not select.select([self._connection], [], [], timeout)[0]:
            return False
        self._unread += self._connection.recv(2**16) or _gone()
        *lines, self._unread = self._unread.split(b"\n")
        for word, *numbers in (line.decode().split() for line in lines):
            if word == "started":
                self._started.append(int(numbers[0]))
            else:
                self._codes[int(numbers[0])] = int(numbers[1])
        return True


def _gone() -> bytes:
    raise RuntimeError("the nursery has ended")


@contextmanager
def nursery(imports: str) -> Iterator[Nursery]:
    """Start a process that has made these imports; it ends with the `with` block.

    Args:
        imports: import statements without other effects: they start no thread and read no setting.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (ours, theirs):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, LARGEST_REQUEST)
    code = "import sys; from tests.fresh.serving import serve; serve(int(sys.argv[1]), sys.argv[2])"
    command = [sys.executable, "-c", code, str(theirs.fileno()), imports]
    with ours, subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]):
        theirs.close()
        yield Nursery(ours)
        ours.close()
