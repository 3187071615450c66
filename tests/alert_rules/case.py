"""What a test of an alert is: series over time, when it must be active, and when not."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["fires", "threshold", "no data", "low volume", "other"]
"""``fires``: it is silent, fires and resolves. ``threshold``: exactly there it is silent."""

JOB = "screener"


@dataclass(frozen=True)
class Active:
    """An alert that must be active."""

    description: str
    labels: Mapping[str, str] = field(default_factory=lambda: {"job": JOB})
    """All labels but severity and service."""


@dataclass(frozen=True)
class Case:
    """A course of events; one step is ``minutes`` long."""

    alert: str
    kind: Kind
    what: str
    series: Mapping[str, str]
    silent: tuple[int, ...]
    active: Mapping[int, Active] = field(default_factory=dict)
    minutes: int = 1


def levels(*phases: tuple[int, float]) -> str:
    """Return the values of a gauge: pairs of a number of steps, and the value in them."""
    return " ".join(f"{value}x{steps - 1}" for steps, value in phases)


def counts(*phases: tuple[int, float], start: float = 0) -> str:
    """Return the values of a counter: pairs of a number of steps, and by how much it rises in each."""
    parts, total = [f"{start:g}"], start
    for steps, rise in phases:
        parts.append(f"{total + rise!r}+{rise!r}x{steps - 1}")
        total += rise * steps
    return " ".join(parts)


def series(metric: str, *, job: str = JOB, instance: str = "a", **labels: str) -> str:
    """Return the notation of a series."""
    matched = ", ".join(
        f'{name}="{value}"' for name, value in {"job": job, "instance": instance, **labels}.items()
    )
    return f"{metric}{{{matched}}}"


def level_cases(
    alert: str,
    metric: str,
    *,
    limit: float,
    beyond: float,
    description: str,
    wait: int = 0,
    keep: int = 0,
    others: Mapping[str, str] | None = None,
    labels: Mapping[str, str] | None = None,
    job: str = JOB,
) -> list[Case]:
    """Return the cases of an alert about a gauge: at the limit, beyond it for a time, and back at it.

    Args:
        alert: its name.
        metric: the name of the gauge.
        limit: the threshold, at which it is silent.
        beyond: a value at which it fires.
        description: what its description must be then.
        wait: its ``for``, in minutes.
        keep: its ``keep_firing_for``, in minutes.
        others: series that are there all the time.
        labels: labels of the gauge that the alert has, too.
        job: label of the gauge and the alert.
    """
    gauge = series(metric, job=job, **(labels or {}))
    begin, end = 10, 10 + wait + 20
    values = levels((begin, limit), (end - begin, beyond), (keep + 20, limit))
    active = Active(description, {"job": job, **(labels or {})})
    early = (begin + wait - 1,)
    after = {end + keep - 1: active} if keep else {}
    return [
        Case(
            alert,
            "fires",
            f"beyond {limit:g} for {end - begin} minutes",
            {gauge: values, **(others or {})},
            silent=(0, begin - 1, *early, end + keep, end + keep + 19),
            active={begin + wait: active, end - 1: active, **after},
        ),
        Case(
            alert,
            "threshold",
            f"exactly {limit:g}",
            {gauge: levels((wait + 40, limit)), **(others or {})},
            silent=(0, wait + 1, wait + 39),
        ),
        Case(
            alert,
            "no data",
            "a gap is not a value",
            {gauge: f"_x{wait + 40}", **(others or {})},
            silent=(0, wait + 39),
        ),
    ]


def count_cases(
    alert: str,
    counter: str,
    *,
    window: int,
    description: str,
    last: str = "",
    labels: Mapping[str, str] | None = None,
    keep: int = 0,
    wait: int = 0,
    others: Mapping[str, str] | None = None,
) -> list[Case]:
    """Return the cases of an alert about a counter that rises at all, by one once.

    Args:
        alert: its name.
        counter: notation of the series.
        window: the minutes over which it looks for a rise.
        description: what its description must be when it fires.
        last: what it must be before it resolves, if it changes.
        labels: all labels of the alert but severity and service.
        keep: its ``keep_firing_for``, in minutes.
        wait: its ``for``, in minutes.
        others: series that are there all the time.
    """
    active = Active(description, labels or {"job": JOB})
    begin, rises = 20, max(wait, 1)
    # Two values must be within the window, of which one is older than the last rise.
    end = begin + rises + window - 2
    once = counts((begin - 1, 0), (rises, 1), (window + keep + 30, 0), start=3)
    return [
        Case(
            alert,
            "fires",
            "it rises, and then no more",
            {counter: once, **(others or {})},
            silent=(begin - 1, *((begin + wait - 1,) if wait else ()), end + keep, end + keep + 20),
            active={begin + wait: active, end + keep - 1: Active(last or description, active.labels)},
        ),
        Case(
            alert,
            "threshold",
            "what has risen before it was watched does not count",
            {counter: levels((window * 2 + wait, 3)), **(others or {})},
            silent=(window + wait, window * 2 + wait - 1),
        ),
        Case(
            alert, "no data", "a gap is not a rise", {counter: f"_x{window * 2}"}, silent=(window, window * 2)
        ),
    ]
