"""A command ``flask`` for shells, which a nursery carries out."""

from __future__ import annotations

import json
import os
import socket
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from tests import fresh
from tests.fresh.serving import LARGEST_REQUEST

_CLIENT: Final = """#!{python} -IS
import json, os, socket, sys

files = [each for each in range(3) if os.path.exists(f"/dev/fd/{{each}}")]
request = {{"words": sys.argv[1:], "cwd": os.getcwd(), "env": dict(os.environ), "files": files}}
connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
connection.connect({path!r})
socket.send_fds(connection, [json.dumps(request).encode()], files)
for each in files:
    os.close(each)
code = connection.recv(8)
os._exit(int(code))
"""
"""It hands its files over, and closes its own copies: a pipe ends when nobody holds it any more."""


@contextmanager
def flask_command() -> Iterator[Path]:
    """Give a command ``flask``, which saves a second of imports each time, until the end of the context.

    Variables of the interpreter itself, such as ``PYTHONIOENCODING``, have no effect.
    """
    with (
        TemporaryDirectory() as folder,
        socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener,
        ThreadPoolExecutor() as threads,
    ):
        path, command = Path(folder, "socket"), Path(folder, "flask")
        command.write_text(_CLIENT.format(python=sys.executable, path=str(path)))
        command.chmod(0o755)
        listener.bind(str(path))
        listener.listen()
        threads.submit(_accept, listener, threads)
        try:
            yield command
        finally:
            listener.shutdown(socket.SHUT_RDWR)


def _accept(listener: socket.socket, threads: ThreadPoolExecutor) -> None:
    with suppress(OSError):  # its end
        while True:
            connection, _ = listener.accept()
            threads.submit(_carry_out, connection)


def _carry_out(connection: socket.socket) -> None:
    with connection:
        message, theirs, _, _ = socket.recv_fds(connection, LARGEST_REQUEST, 3)
        request = json.loads(message)
        files = dict(zip(request["files"], theirs, strict=True))
        words = ("-m", "flask", *request["words"])
        child = fresh.start(*words, cwd=Path(request["cwd"]), env=request["env"], files=files)
        for each in theirs:
            os.close(each)
        code = child.wait()
        connection.send(str(code if code >= 0 else 128 - code).encode())
