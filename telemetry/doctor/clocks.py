"""Check the clock of this machine: rows, metrics and traces are compared by their times."""

from __future__ import annotations

from typing import Final

from .check import Answer, Check, Clock, Patient

TOLERANCE: Final = 5.0
"""Maximum difference of two clocks, in seconds."""


def check_clock(patient: Patient) -> Answer:
    """Check that other clocks agree with that of this machine."""
    clocks = {clock.name: clock for clock in patient.clocks}.values()
    wrong = [clock for clock in clocks if abs(clock.ahead) - clock.precision > TOLERANCE]
    for clock in wrong:
        remedy = "synchronise the clocks of both machines (chronyd or systemd-timesyncd)"
        yield Check("bad", "clock", _difference(clock), remedy)
    agreeing = [clock for clock in clocks if clock not in wrong]
    if agreeing:
        *others, last = (clock.name for clock in agreeing)
        names = f"{', '.join(others)} and {last}" if others else last
        most = max(max(abs(clock.ahead), clock.precision) for clock in agreeing)
        yield Check("good", "clock", f"within {most:.1f} s of {names}")
    if not patient.clocks:
        yield Check("note", "clock", "there is no other clock to compare it with")


def _difference(clock: Clock) -> str:
    side = "behind" if clock.ahead > 0 else "ahead of"
    return f"this machine's is {abs(clock.ahead):,.0f} s {side} that of {clock.name}"
