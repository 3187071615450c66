"""The webhook that receives what Alertmanager sends, and what it has received."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from tests.local_server import Handler, LocalServer


@dataclass(frozen=True)
class Notification:
    """An alert in a request of Alertmanager."""

    at: float
    """By the monotonic clock."""
    receiver: str
    alert: str
    is_firing: bool


class Notifications(LocalServer):
    """A webhook for all receivers of Alertmanager; the last part of its path is the receiver's name."""

    def __init__(self, watch: Callable[[str], None] = lambda _: None) -> None:
        """Prepare it.

        Args:
            watch: called with the name of an alert that begins to fire.
        """
        self.watch = watch
        self.refused: set[str] = set()
        """Receivers whose notifications it refuses."""
        self._received: list[Notification] = []
        self._active: dict[str, str] = {}
        """The names of alerts that were sent last as firing, by all their labels."""
        self._changed = threading.Condition()
        hook = self

        class Hook(Handler):
            def do_POST(self) -> None:
                receiver = self.path.strip("/")
                body = json.loads(self.body())
                if receiver in hook.refused:
                    self.answer(404)
                    return
                hook._receive(receiver, body["alerts"])
                self.answer()

        super().__init__(Hook)

    def _receive(self, receiver: str, alerts: list[dict[str, Any]]) -> None:
        for alert in alerts:
            name, is_firing = alert["labels"]["alertname"], alert["status"] == "firing"
            with self._changed:
                is_new = is_firing and name not in self._active.values()
                if is_firing:
                    self._active[alert["fingerprint"]] = name
                else:
                    self._active.pop(alert["fingerprint"], None)
                self._received.append(Notification(time.monotonic(), receiver, name, is_firing))
                self._changed.notify_all()
            if is_new:
                self.watch(name)

    @property
    def active(self) -> set[str]:
        """The names of alerts that were sent last as firing."""
        with self._changed:
            return set(self._active.values())

    def fired(self, alert: str, since: float) -> float | None:
        """Return when an alert was sent first, by the monotonic clock; None if it was not since a time."""
        return min(self._times(alert, since, is_firing=True), default=None)

    def resolved(self, alert: str, since: float) -> float | None:
        """Return when an alert was last sent as resolved; None if it fires, or it was not since a time."""
        if alert in self.active:
            return None
        return max(self._times(alert, since, is_firing=False), default=None)

    def receivers(self, alert: str) -> set[str]:
        """Return the receivers that an alert was sent to."""
        with self._changed:
            return {one.receiver for one in self._received if one.alert == alert}

    def wait(self, seconds: float) -> None:
        """Wait for the next notification, for at most so many seconds."""
        with self._changed:
            self._changed.wait(seconds)

    def _times(self, alert: str, since: float, *, is_firing: bool) -> list[float]:
        with self._changed:
            return [
                one.at
                for one in self._received
                if one.alert == alert and one.is_firing == is_firing and one.at >= since
            ]
