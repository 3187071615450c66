"""Run the stack without Docker until Ctrl-C: `make stack`.

The programs are those of `make tools` and a PostgreSQL of this machine, with the configuration of
docker-compose.yml. Data are in a temporary folder, and gone at the end.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from tests.postgres import PostgresUnavailable
from tests.stack.local import Local


def main(arguments: Sequence[str] | None = None) -> int:
    """Start everything, wait for the end, and return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.stack", description=__doc__)
    parser.parse_args(arguments)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _end)
    try:
        with Local() as stack:
            stack.submit()
            stack.check_day()
            print(stack.summary())
            print("Ctrl-C ends it, and deletes its data.", flush=True)
            while True:
                stack.check()
                time.sleep(0.5)
    except KeyboardInterrupt:
        print("\nEnded.")
        return 0
    except (PostgresUnavailable, RuntimeError, TimeoutError) as error:
        print(f"make stack: {error}", file=sys.stderr)
        return 1


def _end(number: int, frame: FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


if __name__ == "__main__":
    sys.exit(main())
