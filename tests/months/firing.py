"""When an alert fires: what `for` and `keep_firing_for` make of the points at which its expression holds."""

from __future__ import annotations

from collections.abc import Sequence

from exporters.alert_rules.alert import Alert


def firing(alert: Alert, held: Sequence[int], step: int, end: int) -> list[tuple[int, int]]:
    """Return the periods in which an alert fires, each with its last evaluation before it resolved.

    Prometheus evaluates a rule every ``step`` seconds. An alert is pending from the first evaluation at which
    its expression holds, and fires at the first that is at least ``for_seconds`` later, if it has held all
    the time. It goes on firing until the expression has not held for ``keep_seconds``.

    Args:
        alert: the alert.
        held: when its expression held, in order.
        step: seconds between two evaluations.
        end: when to stop.
    """
    periods: list[tuple[int, int]] = []
    active = fires = gone = -1
    points = set(held)
    for second in range(held[0], end, step) if held else ():
        if second in points:
            active, gone = (second if active < 0 else active), -1
            if fires < 0 and second - active >= alert.for_seconds:
                fires = second
        elif fires >= 0 and alert.keep_seconds:
            gone = second if gone < 0 else gone
            if second - gone >= alert.keep_seconds:
                periods.append((fires, second - step))
                active = fires = gone = -1
        elif active >= 0:
            if fires >= 0:
                periods.append((fires, second - step))
            active = fires = gone = -1
    if fires >= 0:
        periods.append((fires, end - step))
    return periods
