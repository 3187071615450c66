"""Run Python programs in fresh processes, without a second of imports for each.

A fork server, here called a *nursery*, imports what many programs need, and does nothing else. Each program
runs in a child that is forked from it, with its own environment, directory and files, and to the end of the
interpreter, as with ``subprocess.Popen([sys.executable, …])``. The only difference is that the imports happen
before the environment is set.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from fcntl import F_DUPFD_CLOEXEC, fcntl
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]

LIBRARIES = """
import alembic.command, flask, flask.cli, flask_sqlalchemy, genai_prices, numpy, openai, psycopg2, sqlalchemy
import genai_prices.data, openai.lib.streaming.chat, openai.resources.chat
import sqlalchemy.dialects.postgresql.psycopg2, sqlalchemy.dialects.sqlite
import apprise, cachetools, prometheus_client, psycopg, pyarrow, rich.markdown, rich.table
import opentelemetry.exporter.otlp.proto.http.trace_exporter, opentelemetry.sdk._configuration
import opentelemetry.instrumentation.flask, opentelemetry.instrumentation.sqlalchemy
import opentelemetry.instrumentation.genai.openai, opentelemetry.instrumentation.threading
"""
"""What hosts and our commands import of others."""
PROJECT = f"""
{LIBRARIES}
import telemetry
import exporters.integrity.watch, exporters.privacy.exporters, exporters.process.pipeline
import exporters.sql.database, exporters.sql.projection, exporters.sql.storage, exporters.sql.writer
import exporters.export.formats, exporters.export.jobs, exporters.sql.schema.migrate
import exporters.upkeep.health_log, telemetry.cli.group
import telemetry.openai.calls, telemetry.setup.configurator, telemetry.setup.process, telemetry.web.extension
"""
"""The same, and the parts of this checkout that work in a host."""
LARGEST_REQUEST = 2**20


class Child:
    """A program that a nursery has started; like ``subprocess.Popen``."""

    def __init__(self, nursery: Nursery, pid: int) -> None:
        self._nursery = nursery
        self.pid = pid

    def poll(self) -> int | None:
        """Return the exit code, which is negative for a signal, or None while it runs."""
        return self._nursery.exit_code(self.pid, 0)

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end, and return the exit code.

        Raises:
            subprocess.TimeoutExpired: it goes on for longer.
        """
        code = self._nursery.exit_code(self.pid, timeout)
        if code is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless it has ended."""
        if self.poll() is None:
            os.kill(self.pid, number)


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
    code = "import sys; from tests.fresh import serve; serve(int(sys.argv[1]), sys.argv[2])"
    command = [sys.executable, "-c", code, str(theirs.fileno()), imports]
    with ours, subprocess.Popen(command, cwd=ROOT, stdin=subprocess.DEVNULL, pass_fds=[theirs.fileno()]):
        theirs.close()
        yield Nursery(ours)
        ours.close()


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
    *command: str, cwd: Path, env: Mapping[str, str], files: Mapping[int, int], new_session: bool = False
) -> Child:
    """Start a program of this checkout; the arguments are those of :meth:`Nursery.start`."""
    return _of_project().start(*command, cwd=cwd, env=env, files=files, new_session=new_session)


def serve(descriptor: int, imports: str) -> None:
    """Serve as the nursery: start what is asked for, and report the end of each child."""
    exec(imports, {})
    gc.collect()
    gc.freeze()  # else each child would touch, and so copy, all that is imported
    connection = socket.socket(fileno=descriptor)
    woken, wake = socket.socketpair()
    woken.setblocking(False)
    wake.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(wake.fileno())
    while True:
        readable, _, _ = select.select([connection, woken], [], [])
        if woken in readable:
            woken.recv(2**12)
            for pid, code in _ended():
                connection.send(f"ended {pid} {code}\n".encode())
        if connection in readable:
            message, files, _, _ = socket.recv_fds(connection, LARGEST_REQUEST, 16)
            if not message:
                return
            request = json.loads(message)
            if not os.fork():
                signal.set_wakeup_fd(-1)
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                if request["new_session"]:
                    os.setsid()
                connection.send(f"started {os.getpid()}\n".encode())
                for end in (connection, woken, wake):
                    end.close()
                _run_request(request, files)
                return
            for file in files:
                os.close(file)


def _ended() -> Iterator[tuple[int, int]]:
    """Yield the pid and the exit code of each child that has ended."""
    while True:
        try:
            pid, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return
        if not pid:
            return
        yield pid, os.waitstatus_to_exitcode(status)


def _run_request(request: dict[str, Any], files: Sequence[int]) -> None:
    """Run the requested program in this forked child; its exit hooks run after the return."""
    _rename(dict(zip(request["files"], files, strict=True)))
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    time.tzset()
    paths = filter(None, request["env"].get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = ["", *paths, *sys.path[1:]]
    _become_main(*request["command"])


def _rename(files: Mapping[int, int]) -> None:
    """Give each file the descriptor that the program expects."""
    above = max(files) + 1
    moved = {wanted: fcntl(file, F_DUPFD_CLOEXEC, above) for wanted, file in files.items()}
    for file in files.values():
        os.close(file)
    for wanted, file in moved.items():
        os.dup2(file, wanted)
        os.close(file)


def _become_main(first: str, *rest: str) -> None:
    """Run a program as the interpreter does that is started with these arguments."""
    main = vars(sys.modules["__main__"])
    for name in ("serve", "sys"):
        main.pop(name, None)
    if first == "-m":
        sys.path[0], sys.argv = os.getcwd(), ["-m", *rest[1:]]
        runpy._run_module_as_main(rest[0])  # type: ignore[attr-defined]
    elif first == "-c":
        sys.argv = ["-c", *rest[1:]]
        exec(compile(rest[0], "<string>", "exec"), main)
    else:
        sys.path[0], sys.argv = str(Path(first).parent), [first, *rest]
        main["__file__"] = first
        exec(compile(Path(first).read_text(), first, "exec"), main)
