"""Rules and routes in which time passes faster: every duration is divided by one factor.

What Prometheus and Alertmanager need to be exact sets a limit: a window has to contain several samples.
"""

from __future__ import annotations

import re
from typing import Final

FACTOR: Final = 60
"""An hour takes a minute."""
SHORTEST: Final = 1.0
"""Seconds: no rule is evaluated more often, and nothing has to hold for less."""
SHORTEST_WINDOW: Final = 10.0
"""Seconds: a shorter window would have too few samples, each of which is about a second late."""
LOOKBACK: Final = 300 / FACTOR
"""Seconds for which a series that gets no more samples is visible; Prometheus's default is five minutes."""
SHORTEST_GAP: Final = 15.0
"""Seconds: figures of whole days are asked for every 20 × TELEMETRY_GAUGES_SECONDS, so they may be as old."""
UNITS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400}

_DURATION: Final = r"(\d+)([smhd])"
_WAITS: Final = re.compile(rf"\b(interval|for|keep_firing_for): {_DURATION}$", re.M)
_WINDOWS: Final = re.compile(rf"(\[|offset ){_DURATION}\b")
_AGES: Final = re.compile(
    r"((?:oldest_run|last_success|worker_heartbeat|spool_oldest|gauges)_age_seconds\{[^}]*\}\))"
    r" ([<>]) (\d+)\b"
)
"""Thresholds of ages. That of the health log is about days of the calendar, which are written into SQL."""
_ROUTES: Final = re.compile(rf"\b(group_wait|group_interval|repeat_interval): {_DURATION}\b")


def rules(text: str) -> str:
    """Return a file of rules in which time passes faster; thresholds that are no ages stay."""
    text = _WAITS.sub(lambda found: f"{found[1]}: {_shorter(found[2], found[3], SHORTEST)}", text)
    text = _WINDOWS.sub(lambda found: f"{found[1]}{_shorter(found[2], found[3], SHORTEST_WINDOW)}", text)
    return _AGES.sub(lambda found: f"{found[1]} {found[2]} {_age(found[1], int(found[3])):g}", text)


def routes(text: str) -> str:
    """Return a configuration of Alertmanager that waits for less time."""
    return _ROUTES.sub(lambda found: f"{found[1]}: {_shorter(found[2], found[3], 0)}", text)


def _age(series: str, seconds: int) -> float:
    return max(seconds / FACTOR, SHORTEST_GAP if "gauges_age" in series else 0)


def _shorter(number: str, unit: str, least: float) -> str:
    seconds = int(number) * UNITS[unit]
    milliseconds = round(1000 * max(seconds / FACTOR, least if seconds else 0))
    whole, rest = divmod(milliseconds, 1000)
    return f"{milliseconds}ms" if rest else f"{whole}s"
