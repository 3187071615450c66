"""Stops the demo's processes if the demo itself is killed.

It reads process groups, one a line, from its standard input, which the demo holds open. The end of the input
means that the demo has ended.
"""

from __future__ import annotations

import os
import signal
import sys
import time

PATIENCE = 3.0
"""Seconds within which the processes must end by themselves."""


def main() -> None:
    groups = [int(line) for line in sys.stdin]
    left = [group for group in groups if send(group, signal.SIGTERM)]
    deadline = time.monotonic() + PATIENCE
    while left and time.monotonic() < deadline:
        time.sleep(0.05)
        left = [group for group in left if send(group, 0)]
    for group in left:
        send(group, signal.SIGKILL)


def send(group: int, number: int) -> bool:
    """Signal a process group; return whether it is still there."""
    try:
        os.killpg(group, number)
    except (ProcessLookupError, PermissionError):  # macOS raises the latter for a group that is ending
        return False
    return True


if __name__ == "__main__":
    main()
