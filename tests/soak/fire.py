"""Disturbances of the system while it works."""

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
"""Shortest and longest outage of the database, in seconds."""
STOP = (1.0, 3.0)
"""Shortest and longest time that a process is stopped, in seconds."""
DELIVERED_WITHIN = 60.0
"""Seconds within which everything of a tenant must be delivered at the end."""
DISTURBANCES = (
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
    """The disturbances that were caused, and how long the host's own writes waited meanwhile."""

    killed: int = 0
    outages: int = 0
    cut: int = 0
    stopped: int = 0
    repeated: int = 0
    intruded: int = 0
    """Directories of others in the spool, with misplaced, forged or damaged files."""
    forged: set[str] = field(default_factory=set)
    """Runs that another user forged."""
    largest_spool: int = 0
    host_wait_ms_max: float = 0.0
    """The longest time that a write of the host waited."""
    control_wait_ms_max: float = 0.0
    """The longest time that a write waited to a row that only the host writes."""
    lost_writes: list[str] = field(default_factory=list)
    """Writes of the host that were lost."""
    waiting: list[str] = field(default_factory=list)
    """Entries and rows that still waited at the end."""


class Fire:
    """Runs processes on all analyses, and disturbs them."""

    def __init__(self, system: System, seed: int, report: Callable[[int], None]) -> None:
        self.damage = Damage()
        self._system = system
        self._chance = random.Random(seed)
        self._report = report
        self._waiting = {tenant.name: deque(tenant.numbers) for tenant in system.tenants}
        self._disturbances: dict[str, Callable[[], None]] = {
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
        self._planned: list[str] = []
        self._timers: list[threading.Timer] = []

    def burn(self) -> Damage:
        """Run until all analyses are done; then deliver the entries of dead processes."""
        open_runs: dict[str, list[int]] = {tenant.name: [] for tenant in self._system.tenants}
        with ExitStack() as stack:
            writers = [
                stack.enter_context(HostWriter(tenant, open_runs[tenant.name], seed=number))
                for number, tenant in enumerate(self._system.tenants)
            ]
            self._work(open_runs)
            for timer in self._timers:
                timer.join()
            self._settle()
        self.damage.host_wait_ms_max = round(max(writer.longest_ms for writer in writers), 1)
        self.damage.control_wait_ms_max = round(max(writer.longest_control_ms for writer in writers), 1)
        self.damage.lost_writes = [line for writer in writers for line in writer.lost()]
        return self.damage

    def _work(self, open_runs: dict[str, list[int]]) -> None:
        next_disturbance = time.monotonic() + 2
        while self._keep_busy():
            self.damage.largest_spool = max(self.damage.largest_spool, self._system.spooled_bytes())
            self._report(
                sum(event["event"] == "ended" for job in self._system.jobs for event in job.events())
            )
            for tenant in self._system.tenants:
                jobs = [job for job in self._system.running() if job.tenant is tenant]
                open_runs[tenant.name][:] = sorted(number for job in jobs for number in job.open_runs)
            if time.monotonic() >= next_disturbance:
                self._disturbances[self._next()]()
                next_disturbance = time.monotonic() + self._chance.uniform(0.5, 1.5) * PAUSE
            time.sleep(0.05)

    def _next(self) -> str:
        """Return the next disturbance. All occur in random order, then again in another order."""
        self._planned = self._planned or self._chance.sample(DISTURBANCES, len(DISTURBANCES))
        return self._planned.pop()

    def _keep_busy(self) -> bool:
        """Start processes while there are analyses left; return whether any process runs."""
        for tenant in self._system.tenants:
            waiting, share = self._waiting[tenant.name], WORKERS // len(self._system.tenants)
            while waiting and sum(job.tenant is tenant for job in self._system.running()) < share:
                self._system.start(tenant, [waiting.popleft() for _ in range(min(CHUNK, len(waiting)))])
        return bool(self._system.running())

    def _victim(self) -> Job | None:
        open_runs = [job for job in self._system.running() if any(job.events())]
        return self._chance.choice(open_runs) if open_runs else None

    def _kill(self) -> None:
        if (job := self._victim()) is not None:
            self._system.kill(job)
            self._waiting[job.tenant.name].extend(job.unopened)
            self.damage.killed += 1

    def _stop(self) -> None:
        """Stop a process for a while; the database continues with the statements it has received."""
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
        """Deliver all entries and bring the host's rows up to date, as the next process would."""
        for tenant in self._system.tenants:
            deadline = time.monotonic() + DELIVERED_WITHIN
            while (waiting := self._still_waiting(tenant)) and time.monotonic() < deadline:
                SpoolKeeper(tenant.settings).recover(10)
            self.damage.waiting += waiting

    def _still_waiting(self, tenant: Tenant) -> list[str]:
        files = [f"{path} waits in the end" for path in self._system.spooled(tenant)]
        rows = tenant.rows(LAGGING)[0]["count"]
        return [*files, f"{rows} rows of {tenant.name} lag in the end"] if rows else files
