"""The nursery's own side: it forks a child for each program, and reports how they end."""

from __future__ import annotations

import gc
import json
import os
import runpy
import select
import signal
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from fcntl import F_DUPFD_CLOEXEC, fcntl
from pathlib import Path
from typing import Any

LARGEST_REQUEST = 2**20


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
