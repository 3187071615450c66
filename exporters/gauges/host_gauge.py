"""Values that callables of the host return, as gauges."""

from __future__ import annotations

import logging
from collections.abc import Callable
from datetime import UTC, datetime

from telemetry._internal.process.signals import let_pass
from telemetry.conventions import Metric

from .query import Found

_log = logging.getLogger("telemetry")


class HostGauge:
    """A callable of the host, and the gauge that shows what it returns."""

    def __init__(
        self,
        option: str,
        metric: Metric,
        call: Callable[[], object],
        convert: Callable[[object], float | None],
    ) -> None:
        """Prepare.

        Args:
            option: the option by which the host gave it.
            metric: the gauge.
            call: the callable; it may raise anything, or take long.
            convert: turns what it returns into the value, or raises TypeError or ValueError.
        """
        self.metric = metric
        self._option = option
        self._call = call
        self._convert = convert
        self._has_complained = False

    def ask(self) -> Found:
        """Call it; without a value if it fails, which is logged once until it works again."""
        try:
            value = self._convert(self._call())
        except Exception as error:
            let_pass(error)
            self._complain(error)
            return Found()
        self._has_complained = False
        return Found({} if value is None else {self.metric.name: value})

    def _complain(self, error: Exception) -> None:
        """Log the type of an error; its text may contain what is none of our business."""
        if not self._has_complained:
            self._has_complained = True
            _log.warning(
                "telemetry: %s= %s; %s has no value until it works",
                self._option,
                error if isinstance(error, Unusable) else f"raised {type(error).__qualname__}",
                self.metric.name,
            )


class Unusable(TypeError):
    """What a callable returned is no value; the message says why."""


def number(value: object) -> float | None:
    """Return a number of things.

    Raises:
        Unusable: if it is not a number from 0.
    """
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise Unusable(f"returned {_shown(value)}, not a whole number from 0, or None")
    return float(value)


def age(value: object) -> float | None:
    """Return the seconds since a time; a naive one is in UTC, and one to come is now.

    Raises:
        Unusable: if it is not a time.
    """
    if value is None:
        return None
    if not isinstance(value, datetime):
        raise Unusable(f"returned {_shown(value)}, not a datetime, or None")
    moment = value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    return max((datetime.now(UTC) - moment).total_seconds(), 0.0)


def _shown(value: object) -> str:
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else f"a value of type {type(value).__qualname__}"
