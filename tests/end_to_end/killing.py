"""Kills components of the observed application while it runs analyses, and asks what that has cost."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count, pairwise
from pathlib import Path
from typing import Protocol, Self

import requests

from examples.screener.client import ScreenerError
from examples.screener.standin.client import StandIn
from telemetry.conventions import Attribute
from tests.end_to_end.documents import resumes
from tests.end_to_end.ledger import Line
from tests.end_to_end.observed import Observed
from tests.end_to_end.stack import Stack
from tests.end_to_end.submission import submit
from tests.waiting import until

AWAY = 3.0
"""Seconds for which a component stays away at least."""
INTERVAL = 1.0
"""Seconds between two exports of a process: OTEL_METRIC_EXPORT_INTERVAL."""
LONGEST_RETRY = 10.0
"""Seconds for which the SDK retries one export at most: OTEL_EXPORTER_OTLP_TIMEOUT."""
SEVERAL = 2
"""The number of export intervals by which a gap may exceed the outage."""
STEADY = 'telemetry_internal_errors_total{job="screener", component="spool"}'
"""A series that every process exports from its first export on."""
IN_REQUEST, IN_WORKER = 2, 4
"""Numbers of résumés of which an analysis is made in the request, and in the worker."""


class Component(Protocol):
    """What can be killed and started again on the same ports and folders."""

    def kill(self) -> None:
        """End it by SIGKILL."""

    def start(self) -> object:
        """Start it, and wait until it is ready."""


@dataclass
class Outage:
    """The time for which a component was away: from before it was killed until it had proved to be ready."""

    began: float
    ended: float = 0.0

    @property
    def seconds(self) -> float:
        return self.ended - self.began


@contextmanager
def killed(component: Component) -> Iterator[Outage]:
    """Kill a component, and start it again after the block and some seconds."""
    outage = Outage(time.time())
    component.kill()
    yield outage
    time.sleep(max(0.0, outage.began + AWAY - time.time()))
    component.start()
    outage.ended = time.time()


@contextmanager
def without_worker(stack: Stack) -> Iterator[None]:
    """Stop the worker as a deployment does, and start another one after the block."""
    assert stack.processes["worker"].stop() == 0
    try:
        yield
    finally:
        WorkerProcess(stack).start()


class Analyses:
    """Submits one analysis after the other, in turn in the request and in the worker, within its block."""

    numbers = count(1000, 10)
    """Numbers of résumés, so that no two analyses have the same."""

    def __init__(self, stack: Stack) -> None:
        self.completed = self.failed = 0
        self._stack = stack
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._is_over.set()
        self._thread.join()

    def one_more(self, *, completed: bool = True) -> None:
        """Wait until one more has ended; if `completed` is false, it may also have failed."""
        tried = self._tried(completed)
        until(lambda: self._tried(completed) > tried, 180, what="another analysis")

    def _tried(self, completed: bool) -> int:
        return self.completed + (0 if completed else self.failed)

    def _run(self) -> None:
        client = self._stack.client()
        for number, start in enumerate(self.numbers):
            if self._is_over.wait(0.1):
                return
            files = [one.file for one in resumes((IN_REQUEST, IN_WORKER)[number % 2], start)]
            try:
                is_completed = submit(client, files).status["state"] == "completed"
            except (requests.RequestException, ScreenerError):
                is_completed = False
            if is_completed:
                self.completed += 1
            else:
                self.failed += 1


class Timeline:
    """When the processes have exported, since it was created.

    Args:
        system: the system.
        processes: the number of processes; the constructor waits until all of them have exported.
    """

    def __init__(self, system: Observed, processes: int) -> None:
        self._system, self._processes = system, processes
        self._since = time.time()
        until(lambda: len(self._samples()) == processes, 120, what="an export of every process")

    def gaps(self, outage: Outage) -> list[float]:
        """Return how much longer than usual, and than the outage, each series had no sample, in seconds.

        A process that was started in place of another continues its series.
        """
        until(lambda: self._living(outage.ended) >= self._processes, 120, what="an export after the outage")
        every = self._samples()
        gone = [times for times in every.values() if times[-1] < outage.ended]
        come = [times for times in every.values() if times[0] > outage.began]
        lasting = [times for times in every.values() if times not in gone and times not in come]
        replaced = sorted(time for times in (*gone, *come) for time in times)
        return [_excess(times, outage) for times in (*lasting, *([replaced] if replaced else []))]

    def during(self, outage: Outage) -> int:
        """Return the number of samples with a time within the outage."""
        every = self._samples().values()
        return sum(outage.began < time < outage.ended for times in every for time in times)

    def _living(self, since: float) -> int:
        return sum(times[-1] > since for times in self._samples().values())

    def _samples(self) -> dict[str, list[float]]:
        """Return the times of the samples of each process that has exported since the beginning."""
        every = {
            one["metric"]["instance"]: [float(moment) for moment, _ in one["values"]]
            for one in self._system.prometheus.query(f"{STEADY}[1h]")
        }
        recent = {
            instance: [time for time in times if time > self._since] for instance, times in every.items()
        }
        return {instance: times for instance, times in recent.items() if times}


def _excess(times: list[float], outage: Outage) -> float:
    """Return by how much the longest gap exceeds the outage and some intervals; usually it is negative.

    An interval is the configured one or, where the machine was busy, the longest before the outage.
    """
    gaps = [(after - before, after) for before, after in pairwise(times)]
    usual = max([INTERVAL, *(gap for gap, after in gaps if after < outage.began)])
    return max(gap for gap, _ in gaps) - outage.seconds - SEVERAL * usual


class KillableStandIn(StandIn):
    """A stand-in that can be killed, and started again on its port; its ledger goes on."""

    def __init__(self, port: int) -> None:
        super().__init__(port=port)
        self._earlier: list[Line] = []

    def kill(self) -> None:
        """End it. What it has recorded until now is kept."""
        self._earlier = self.lines()
        self.stop()

    def stop(self) -> None:
        """End it by SIGKILL, since answers that are late would hold it up; safe to call twice."""
        process, self._process = self._process, None
        if process is not None:
            for pid in (process.pid, *children(process.pid)):
                os.kill(pid, signal.SIGKILL)
            process.wait()

    def lines(self) -> list[Line]:
        """Return all lines of the ledger, also those before it was killed, numbered throughout."""
        lines: list[Line] = self.ledger()["attempts"]
        return [*self._earlier, *({**line, "seq": line["seq"] + len(self._earlier)} for line in lines)]


@dataclass(frozen=True)
class WorkerProcess:
    """The process that runs large analyses."""

    stack: Stack

    def kill(self) -> None:
        """Kill it."""
        self.stack.processes["worker"].kill()

    def start(self) -> None:
        """Start another one, and wait until it looks for jobs."""
        is_ready = "waiting for jobs"
        before = self.stack.processes["worker"].text().count(is_ready)
        worker = self.stack.worker()
        until(lambda: worker.text().count(is_ready) > before, 120, what="the worker is ready")


class WebWorker:
    """A worker of gunicorn, which starts another one in its place by itself."""

    def __init__(self, stack: Stack, pid: int) -> None:
        self._stack, self._pid = stack, pid
        self._master = stack.processes["web"].pid
        self._before = {*children(self._master)}

    def kill(self) -> None:
        """Kill this worker alone."""
        os.kill(self._pid, signal.SIGKILL)

    def start(self) -> None:
        """Wait until another one is there, and requests are answered."""
        until(lambda: {*children(self._master)} - self._before, 120, what="another one")
        self._stack.client()


@dataclass(frozen=True)
class Gunicorn:
    """The process that starts the web workers; they end without it, once they have answered."""

    stack: Stack

    def kill(self) -> None:
        """Kill it, but not its workers."""
        master = self.stack.processes["web"]
        master.signal(signal.SIGKILL)
        master.wait()

    def start(self) -> None:
        """Start another one, and wait until requests are answered."""
        self.stack.web()
        self.stack.client()


def children(pid: int) -> list[int]:
    """Return the processes that a process has started."""
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def calls(system: Observed, trace_id: str) -> list[str]:
    """Return the ids of the spans of calls that Jaeger has of a trace."""
    trace = system.jaeger.trace(trace_id) or {"spans": []}
    return [
        span["spanID"]
        for span in trace["spans"]
        if any(tag["key"] == Attribute.OPERATION for tag in span["tags"])
    ]
