"""A process that projects into rows of the host again and again, until it is killed.

Usage::

    python -m tests.exporters.projector URL HOLD

Meanwhile C code holds its GIL for HOLD seconds, again and again; with 0 it does not.
"""

from __future__ import annotations

import ctypes
import sys
import threading

from sqlalchemy.exc import OperationalError

from exporters.sql.database.engine import create_engine
from exporters.sql.projection.host_rows import HostRows
from tests.exporters.makers import KEY


def hold_the_gil(seconds: float) -> None:
    """Hold the GIL again and again: functions that are called through PyDLL do not release it."""
    sleep = ctypes.PyDLL(None).usleep
    while True:
        sleep(int(seconds * 1_000_000))


def main() -> None:
    url, hold = sys.argv[1], float(sys.argv[2])
    engine = create_engine(url)
    rows = HostRows(engine, KEY)
    print("ready", flush=True)
    if hold:
        threading.Thread(target=hold_the_gil, args=(hold,), daemon=True).start()
    while True:
        try:
            rows.project_analysis(1)
            rows.project_user(1)
        except OperationalError:
            continue  # a row was locked, or the session was terminated


if __name__ == "__main__":
    main()
