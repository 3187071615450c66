"""Plays incidents, and notes when each alert came and went, and what was wrong."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Final, TypeVar

from tests.live import runbook
from tests.live.incident import Incident
from tests.live.system import System
from tests.notifications.raised import receiver

FIRES_WITHIN: Final = 240.0
RESOLVES_WITHIN: Final = 300.0
"""Seconds after which an alert is taken not to come or go; a busy machine takes its time."""
POLL: Final = 0.5
"""Seconds between two looks, if no notification comes."""

T = TypeVar("T")


@dataclass(frozen=True)
class Outcome:
    """When an alert was sent, and sent as resolved."""

    alert: str
    how: str
    cure: str
    fired_after: float
    """Seconds after the incident began."""
    resolved_after: float
    """Seconds after its cure."""


class Stopped(Exception):
    """The proof was ended before its time."""


class Proof:
    """Plays incidents against a system."""

    def __init__(
        self, system: System, report: Callable[[str, str], None] = lambda alert, state: None
    ) -> None:
        """Prepare.

        Args:
            system: the system, which runs.
            report: called with an alert and what has become of it.
        """
        self.outcomes: list[Outcome] = []
        self.problems: list[str] = []
        self._system = system
        self._report = report
        self._open: list[Incident] = []
        self._lock = threading.Lock()
        self._stopped = threading.Event()
        system.notifications.watch = self._watch

    def stop(self) -> None:
        """Have everything that waits end."""
        self._stopped.set()

    def play(self, lanes: Iterable[Iterable[Incident]]) -> None:
        """Play lanes beside each other, and the incidents of each one after the other."""
        threads = [threading.Thread(target=self._lane, args=(lane,), daemon=True) for lane in lanes]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def _lane(self, lane: Iterable[Incident]) -> None:
        for one in lane:
            try:
                self._play(one)
            except Stopped:
                return
            except Exception as error:
                self._problem(f"{', '.join(one.all)}: {type(error).__name__}: {error}")

    def _play(self, one: Incident) -> None:
        with self._lock:
            self._open.append(one)
        began = time.monotonic()
        for alert in one.all:
            self._report(alert, "provoked")
        try:
            with one.last(self._system):
                self._diagnose(one.alerts, began)
            cured = time.monotonic()
            for alert in one.alerts:
                self._report(alert, "cured")
            self._diagnose(one.later, began)
            self._resolve(one, began, cured)
        finally:
            with self._lock:
                self._open.remove(one)

    def _diagnose(self, alerts: tuple[str, ...], began: float) -> None:
        """Wait until alerts are sent, and do what their runbooks say."""
        for alert in alerts:
            if self._await(partial(self._fired, alert, began), FIRES_WITHIN, alert, "fire") is None:
                continue
            self._report(alert, "fired")
            if (receivers := self._system.notifications.receivers(alert)) != {receiver(alert)}:
                self._problem(f"{alert} was sent to {', '.join(receivers)}, not to {receiver(alert)}")
            for problem in runbook.problems(alert, self._system):
                self._problem(problem)

    def _resolve(self, one: Incident, began: float, cured: float) -> None:
        for alert in one.all:
            sent, now = self._fired(alert, began), time.monotonic()
            if sent is None:
                continue
            left = cured + RESOLVES_WITHIN - now
            resolved = self._await(partial(self._resolved, alert, sent), left, alert, "resolve")
            if resolved is not None:
                outcome = Outcome(alert, one.how, one.cure, sent - began, max(resolved - cured, 0))
                with self._lock:
                    self.outcomes.append(outcome)
                self._report(alert, "resolved")
        if one.also:
            after = ", ".join(one.also)
            self._await(
                lambda: self._system.pending().isdisjoint(one.also) or None, RESOLVES_WITHIN, after, "end"
            )

    def _fired(self, alert: str, since: float) -> float | None:
        return self._system.notifications.fired(alert, since)

    def _resolved(self, alert: str, since: float) -> float | None:
        return self._system.notifications.resolved(alert, since)

    def _await(self, condition: Callable[[], T | None], seconds: float, alert: str, what: str) -> T | None:
        """Wait until a condition has a value; without one in time there is a problem, and no value."""
        deadline = time.monotonic() + seconds
        while (value := condition()) is None:
            if self._stopped.is_set():
                raise Stopped
            if time.monotonic() > deadline:
                self._problem(f"{alert} did not {what} within {seconds:.0f} s")
                return None
            self._system.notifications.wait(POLL)
        return value

    def _watch(self, alert: str) -> None:
        with self._lock:
            expected = {each for one in self._open for each in (*one.all, *one.also)}
        if alert not in expected and alert != "Watchdog":
            self._problem(f"{alert} fired, and nobody had provoked it")

    def _problem(self, text: str) -> None:
        with self._lock:
            self.problems.append(text)
        self._report("", text)
