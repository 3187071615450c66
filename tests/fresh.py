"""Run Python programs in fresh processes, without a second of imports for each.

A fork server, here called a *nursery*, imports what many programs need, and does nothing else. Each program
runs in a child that is forked from it, with its own environment, directory and output, and to the end of the
interpreter, as with ``subprocess.run([sys.executable, …])``. The only difference is that the imports happen
before the environment is set.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
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


class Nursery:
    """Runs programs, one at a time; see :func:`nursery`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(
        self, *command: str, cwd: Path, env: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program to its end, and return its output as text.

        Args:
            command: ``-c`` and source code, ``-m`` and a module, or a file; then the arguments.
            cwd: working directory.
            env: all environment variables; default: those of this process. Of the interpreter's own, only
                ``PYTHONPATH`` has an effect.
        """
        request = {"command": command, "cwd": str(cwd), "env": dict(os.environ if env is None else env)}
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
            return subprocess.CompletedProcess(list(command), status, out.read(), err.read())


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


def serve() -> None:
    """Serve as the nursery: read requests as lines of JSON, and print the exit status of each program."""
    exec(sys.argv[1], {})
    gc.collect()
    gc.freeze()  # else each child would touch, and so copy, all that is imported
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
    time.tzset()
    paths = filter(None, request["env"].get("PYTHONPATH", "").split(os.pathsep))
    sys.path[:] = ["", *paths, *sys.path[1:]]
    _become_main(*request["command"])


def _become_main(first: str, *rest: str) -> None:
    """Run a program as the interpreter does that is started with these arguments."""
    main = vars(sys.modules["__main__"])
    main.pop("serve", None)
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
