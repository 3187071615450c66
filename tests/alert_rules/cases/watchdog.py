from __future__ import annotations

from tests.alert_rules.case import Active, Case

ACTIVE = Active("Always active, with the value 1: if it stops arriving, alerts are lost.", {})

CASES = [
    Case(
        "Watchdog",
        "fires",
        "always, whatever there is",
        {"up": "1x5"},
        (),
        {0: ACTIVE, 5: ACTIVE, 90: ACTIVE},
    )
]
