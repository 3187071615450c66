"""A real PgBouncer in transaction mode in front of a PostgreSQL server, for tests.

The program is that of the system, else that of Debian's package, unpacked under `build` without being
installed. `TEST_PGBOUNCER` names a program to use instead.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import sqlalchemy as sa

from tests import runs
from tests.debian import PackageUnavailable, unpacked
from tests.postgres import SUPERUSER, TemporaryPostgres, free_port, unprivileged_user

PACKAGES = ("pgbouncer", "libevent-2.1-7", "libc-ares2")
CONFIGURATION = """\
[databases]
* = host=127.0.0.1 port={server} user={user}
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 3
max_client_conn = 200
logfile = {directory}/log
pidfile = {directory}/pid
"""
"""With three connections for each database, clients get sessions that others have used."""


class PgBouncerUnavailable(RuntimeError):
    """No PgBouncer could be started; the message says why and what to do."""


class PgBouncer:
    """A pooler that runs from construction to `close`, else to the end of the run (`tests/runs.py`)."""

    def __init__(self, postgres: TemporaryPostgres) -> None:
        program, libraries = _program()
        self.port = free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="pgbouncer-", dir=runs.folder()))
        user = unprivileged_user()
        if user:
            shutil.chown(self._directory, user)
        configuration = self._directory / "pgbouncer.ini"
        configuration.write_text(
            CONFIGURATION.format(
                server=postgres.port, port=self.port, user=SUPERUSER, directory=self._directory
            )
        )
        started = subprocess.run(
            [program, "-q", "-d", configuration],
            cwd=self._directory,
            env={**os.environ, "LD_LIBRARY_PATH": libraries},
            user=user,
            extra_groups=[] if user else None,
            check=False,
        )
        if started.returncode:
            raise PgBouncerUnavailable(f"PgBouncer did not start: {self._log_text()}")
        self._wait()

    @classmethod
    def shared(cls, postgres: TemporaryPostgres) -> PgBouncer:
        """Return the pooler that all processes of this run share; it ends with the run."""
        return runs.shared(f"pgbouncer-{postgres.port}", lambda: cls(postgres))

    def close(self) -> None:
        """Kill the process, and delete its directory."""
        os.kill(int((self._directory / "pid").read_text()), signal.SIGKILL)
        shutil.rmtree(self._directory, ignore_errors=True)

    def through(self, url: str) -> str:
        """Return the URL of a database of the server with the port of the pooler."""
        return sa.make_url(url).set(port=self.port).render_as_string(hide_password=False)

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError as error:
                if time.monotonic() > deadline:
                    self.close()
                    raise PgBouncerUnavailable(f"PgBouncer did not start: {self._log_text()}") from error
                time.sleep(0.02)

    def _log_text(self) -> str:
        log = self._directory / "log"
        return log.read_text(errors="replace").strip() if log.exists() else "it has written no log"


def _program() -> tuple[Path, str]:
    """Return the program, and the directory of its libraries if they are not installed."""
    if chosen := os.environ.get("TEST_PGBOUNCER") or shutil.which(
        "pgbouncer", path="/usr/sbin:" + os.defpath
    ):
        return Path(chosen), ""
    try:
        folder = unpacked("pgbouncer", PACKAGES, "usr/sbin/pgbouncer")
    except PackageUnavailable as error:
        raise PgBouncerUnavailable(
            f"no pgbouncer found, nor could Debian's be fetched ({error}):"
            " install pgbouncer, or name the program in TEST_PGBOUNCER"
        ) from error
    (library,) = folder.glob("usr/lib/*/libcares.so.2")
    return folder / "usr/sbin/pgbouncer", str(library.parent)
