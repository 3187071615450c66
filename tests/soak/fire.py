"""What is done to the system while it works."""

from __future__ import annotations

import random
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from exporters.spool_keeper import SpoolKeeper
from tests.end_to_end.database import UNPROJECTED
from tests.soak.system import CHUNK, System

WORKERS = 4
PAUSE = 0.7
"""Seconds between two disturbances, on average."""
OUTAGE = (0.3, 2.5)
"""Shortest and longest time without a database, in seconds."""
PATIENCE = 120.0
"""Seconds that everything has to arrive in the end."""


@dataclass
class Damage:
    """What was done."""

    killed: int = 0
    outages: int = 0
    cut: int = 0
    repeated: int = 0
    largest_spool: int = 0


def work_under_fire(system: System, seed: int, report: Callable[[int], None]) -> Damage:
    """Let processes work on all analyses, disturb them, and deliver in the end what the dead have left."""
    chance, damage = random.Random(seed), Damage()
    waiting = deque(range(1, system.analyses + 1))
    next_blow = time.monotonic() + 2
    while _keep_busy(system, waiting):
        damage.largest_spool = max(damage.largest_spool, system.spooled_bytes())
        report(sum(_is_ended(event) for job in system.jobs for event in job.events()))
        if time.monotonic() >= next_blow:
            _strike(system, chance, damage, waiting)
            next_blow = time.monotonic() + chance.uniform(0.5, 1.5) * PAUSE
        time.sleep(0.05)
    _settle(system)
    return damage


def _keep_busy(system: System, waiting: deque[int]) -> bool:
    """Start processes as long as there is something to do; say whether any is at work."""
    while waiting and len(system.running()) < WORKERS:
        system.start([waiting.popleft() for _ in range(min(CHUNK, len(waiting)))])
    return bool(system.running())


def _strike(system: System, chance: random.Random, damage: Damage, waiting: deque[int]) -> None:
    blow = chance.choice(["kill", "kill", "cut", "outage", "crash", "repeat", "repeat"])
    at_work = [job for job in system.running() if any(job.events())]
    if blow == "kill" and at_work:
        job = chance.choice(at_work)
        system.kill(job)
        waiting.extend(job.unopened)
        damage.killed += 1
    elif blow == "cut":
        system.cut_connections()
        damage.cut += 1
    elif blow == "outage":
        system.postgres.stop()
        time.sleep(chance.uniform(*OUTAGE))
        system.postgres.start()
        damage.outages += 1
    elif blow == "crash":
        system.postgres.restart_immediately()
        damage.outages += 1
    elif blow == "repeat":
        damage.repeated += system.repeat()


def _settle(system: System) -> None:
    """Do what the next process of the application would: deliver, and bring the host's rows up to date."""
    deadline = time.monotonic() + PATIENCE
    while _waits(system) and time.monotonic() < deadline:
        SpoolKeeper(system.settings).recover(10)


def _waits(system: System) -> bool:
    root: Path = system.settings.spool_dir / system.settings.spool_key()
    left = [path for path in root.iterdir() if path.is_dir() and len(path.name) == 32]
    return bool(left or system.rows(UNPROJECTED)[0]["count"])


def _is_ended(event: dict[str, object]) -> bool:
    return event["event"] == "ended"
