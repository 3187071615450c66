"""Every alert fires when it must, resolves, and is silent at its threshold and without data."""

from __future__ import annotations

from pathlib import Path

from tests.alert_rules.collected import ALERTS, CASES, trials
from tests.alert_rules.promtool import failed

ALWAYS = {"Watchdog"}


def test_alerts_do_what_their_cases_say(tmp_path: Path) -> None:
    """Prometheus' own evaluation of the rules agrees with the tables in `cases`."""
    assert "\n".join(failed(trials(), tmp_path).values()) == ""


def test_every_alert_has_its_cases() -> None:
    """Each fires and resolves in one case, is silent at its threshold in another, and without data in one."""
    assert {case.alert for case in CASES} == {alert.name for alert in ALERTS}
    for alert in ALERTS:
        kinds = {case.kind for case in CASES if case.alert == alert.name}
        assert kinds >= ({"fires"} if alert.name in ALWAYS else {"fires", "threshold", "no data"}), alert.name
    for case in CASES:
        if case.kind == "fires" and case.alert not in ALWAYS:
            assert min(case.silent) < min(case.active) < max(case.active) < max(case.silent), case


def test_shares_have_a_case_of_low_volume() -> None:
    """An alert about a share that a handful of jobs could raise has one with too few of them."""
    shares = {alert.name for alert in ALERTS if " >= " in alert.expression}

    assert len(shares) >= 6
    assert shares - {case.alert for case in CASES if case.kind == "low volume"} == set()
