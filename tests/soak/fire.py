"""What is done to the system while it works."""

from __future__ import annotations

import random
import signal
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field

from exporters.process.spool_keeper import SpoolKeeper
from tests.soak import intruder
from tests.soak.host import HostWriter
from tests.soak.system import CHUNK, Job, System
from tests.soak.tenant import Tenant

WORKERS = 4
PAUSE = 0.5
"""Seconds between two disturbances, on average."""
OUTAGE = (0.3, 2.5)
"""Shortest and longest time without a database, in seconds."""
STOP = (1.0, 3.0)
"""Shortest and longest time for which a process is stopped, in seconds."""
PATIENCE = 60.0
"""Seconds that everything of a tenant has to arrive in the end."""
BLOWS = (
    "kill",
    "kill",
    "kill",
    "stop",
    "stop",
    "cut",
    "outage",
    "crash",
    "repeat",
    "misplace",
    "forge",
    "damage",
)


LAGGING = """
    SELECT COUNT(*) FROM telemetry_runs WHERE status <> 'running'
    AND (analysis_ref IS NOT NULL AND NOT analysis_gone AND projected_version < version
         OR user_ref IS NOT NULL AND user_version < version)
"""


@dataclass
class Damage:
    """What was done, and how the application's own writes fared meanwhile."""

    killed: int = 0
    outages: int = 0
    cut: int = 0
    stopped: int = 0
    repeated: int = 0
    intruded: int = 0
    """Directories that others left in the spool."""
    forged: set[str] = field(default_factory=set)
    """Runs that another user made up."""
    largest_spool: int = 0
    host_wait_ms_max: float = 0.0
    """For which one write of the application waited."""
    control_wait_ms_max: float = 0.0
    """For which one did to a row that nobody else writes to."""
    lost_writes: list[str] = field(default_factory=list)
    """Writes of the application that did not stay."""
    waiting: list[str] = field(default_factory=list)
    """What no database had taken in the end."""


class Fire:
    """Lets processes work on all analyses, and disturbs them."""

    def __init__(self, system: System, seed: int, report: Callable[[int], None]) -> None:
        self.damage = Damage()
        self._system = system
        self._chance = random.Random(seed)
        self._report = report
        self._waiting = {tenant.name: deque(tenant.numbers) for tenant in system.tenants}
        self._blows: dict[str, Callable[[], None]] = {
            "kill": self._kill,
            "stop": self._stop,
            "cut": self._cut,
            "outage": self._outage,
            "crash": self._crash,
            "repeat": self._repeat,
            "misplace": self._misplace,
            "forge": self._forge,
            "damage": self._spoil,
        }
        self._deck: list[str] = []
        self._timers: list[threading.Timer] = []

    def burn(self) -> Damage:
        """Do so until all is done; then deliver what the dead have left."""
        at_work: dict[str, list[int]] = {tenant.name: [] for tenant in self._system.tenants}
        with ExitStack() as stack:
            writers = [
                stack.enter_context(HostWriter(tenant, at_work[tenant.name], seed=number))
                for number, tenant in enumerate(self._system.tenants)
            ]
            self._work(at_work)
            for timer in self._timers:
                timer.join()
            self._settle()
        self.damage.host_wait_ms_max = round(max(each.longest_ms for each in writers), 1)
        self.damage.control_wait_ms_max = round(max(each.longest_control_ms for each in writers), 1)
        self.damage.lost_writes = [line for each in writers for line in each.lost()]
        return self.damage

    def _work(self, at_work: dict[str, list[int]]) -> None:
        next_blow = time.monotonic() + 2
        while self._keep_busy():
            self.damage.largest_spool = max(self.damage.largest_spool, self._system.spooled_bytes())
            self._report(
                sum(event["event"] == "ended" for job in self._system.jobs for event in job.events())
            )
            for tenant in self._system.tenants:
                jobs = [job for job in self._system.running() if job.tenant is tenant]
                at_work[tenant.name][:] = sorted(number for job in jobs for number in job.at_work)
            if time.monotonic() >= next_blow:
                self._blows[self._next()]()
                next_blow = time.monotonic() + self._chance.uniform(0.5, 1.5) * PAUSE
            time.sleep(0.05)

    def _next(self) -> str:
        """Return what is done next: all of it once, in some order, and then again."""
        self._deck = self._deck or self._chance.sample(BLOWS, len(BLOWS))
        return self._deck.pop()

    def _keep_busy(self) -> bool:
        """Start processes as long as there is something to do; say whether any is at work."""
        for tenant in self._system.tenants:
            waiting, share = self._waiting[tenant.name], WORKERS // len(self._system.tenants)
            while waiting and sum(job.tenant is tenant for job in self._system.running()) < share:
                self._system.start(tenant, [waiting.popleft() for _ in range(min(CHUNK, len(waiting)))])
        return bool(self._system.running())

    def _victim(self) -> Job | None:
        at_work = [job for job in self._system.running() if any(job.events())]
        return self._chance.choice(at_work) if at_work else None

    def _kill(self) -> None:
        if (job := self._victim()) is not None:
            self._system.kill(job)
            self._waiting[job.tenant.name].extend(job.unopened)
            self.damage.killed += 1

    def _stop(self) -> None:
        """Stop a process for a while; the database goes on with the statements it has received."""
        if (job := self._victim()) is not None:
            job.process.send_signal(signal.SIGSTOP)
            go_on = threading.Timer(self._chance.uniform(*STOP), job.process.send_signal, [signal.SIGCONT])
            go_on.start()
            self._timers.append(go_on)
            self.damage.stopped += 1

    def _cut(self) -> None:
        self._system.cut_connections()
        self.damage.cut += 1

    def _outage(self) -> None:
        self._system.postgres.stop()
        time.sleep(self._chance.uniform(*OUTAGE))
        self._system.postgres.start()
        self.damage.outages += 1

    def _crash(self) -> None:
        self._system.postgres.restart_immediately()
        self.damage.outages += 1

    def _repeat(self) -> None:
        self.damage.repeated += self._system.repeat()

    def _misplace(self) -> None:
        one, other = self._system.tenants
        for file in self._system.spooled(one)[:3]:
            intruder.misplace(file, other.folder)
            self.damage.intruded += 1

    def _forge(self) -> None:
        tenant = self._some_tenant()
        for file in self._system.spooled(tenant)[:1]:
            if (run_id := intruder.forge(file, tenant.folder)) is not None:
                self.damage.forged.add(run_id)
                self.damage.intruded += 1

    def _spoil(self) -> None:
        folder = self._some_tenant().folder
        if folder.exists():
            intruder.damage(folder)
            self.damage.intruded += 1

    def _some_tenant(self) -> Tenant:
        return self._chance.choice(self._system.tenants)

    def _settle(self) -> None:
        """Do what the next process would: deliver, and bring the host's rows up to date."""
        for tenant in self._system.tenants:
            deadline = time.monotonic() + PATIENCE
            while (waiting := self._still_waiting(tenant)) and time.monotonic() < deadline:
                SpoolKeeper(tenant.settings).recover(10)
            self.damage.waiting += waiting

    def _still_waiting(self, tenant: Tenant) -> list[str]:
        files = [f"{path} waits in the end" for path in self._system.spooled(tenant)]
        rows = tenant.rows(LAGGING)[0]["count"]
        return [*files, f"{rows} rows of {tenant.name} lag in the end"] if rows else files
