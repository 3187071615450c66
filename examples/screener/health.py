"""Health checks of containers: ``python -m examples.screener.health web`` (or ``worker``).

They exit 1 if it is not well. They run every few seconds, beside what they check, so they import little.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Sequence
from contextlib import closing
from datetime import UTC, datetime, timedelta
from urllib.error import URLError
from urllib.request import urlopen

SILENCE = 120
"""Seconds without a sign of life after which a worker is not well."""
SEEN = """
    SELECT COUNT(*) FROM (
        SELECT seen_at AS at FROM worker_heartbeats WHERE worker LIKE %(me)s
        UNION ALL
        SELECT touched_at FROM jobs WHERE state = 'running' AND owner LIKE %(me)s
    ) AS signs
    WHERE at > %(since)s
"""


def main(arguments: Sequence[str] | None = None) -> int:
    """Return 0 if the process that the argument names, in this container, is well."""
    (what,) = sys.argv[1:] if arguments is None else arguments
    return 0 if {"web": web_is_well, "worker": worker_is_well}[what]() else 1


def web_is_well(port: int = 8000) -> bool:
    """Return whether the app answers."""
    try:
        urlopen(f"http://127.0.0.1:{port}/health", timeout=5).close()
    except (URLError, OSError):
        return False
    return True


def worker_is_well() -> bool:
    """Return whether a worker of this machine looked for a job, or got on with one; in PostgreSQL."""
    import psycopg2  # type: ignore[import-untyped]

    values = {
        "me": f"{socket.gethostname()}:%",
        "since": datetime.now(UTC).replace(tzinfo=None) - timedelta(seconds=SILENCE),
    }
    address = os.environ["SCREENER_DATABASE_URL"].replace("+psycopg2", "")
    try:
        with closing(psycopg2.connect(address)) as connection, connection.cursor() as cursor:
            cursor.execute(SEEN, values)
            return bool(cursor.fetchone()[0])
    except psycopg2.Error:
        return False


if __name__ == "__main__":
    sys.exit(main())
