"""Alerts on ordinary days and on bad ones: no false alert in two months, and none that is missing."""

from __future__ import annotations

import pytest

from tests.alert_rules.test_rule_checks import OTHERS, selected
from tests.months.incidents import INCIDENTS
from tests.months.page import PAGE, SEED, page
from tests.months.programs import healthy
from tests.months.verdict import GROUPS, verdict


def test_incidents_are_of_every_kind() -> None:
    """There are 20, and some are about every group of rules."""
    raised = {alert for incident in INCIDENTS for alert in incident.alerts}
    groups = {group.name for group in GROUPS if raised & {alert.name for alert in group.alerts}}

    assert len(INCIDENTS) == 20
    assert groups == {group.name for group in GROUPS} - {"watchdog"}


def test_programs_have_the_metrics_that_rules_ask_of_them() -> None:
    """All but those of log records, of which the Collector has none here."""
    names = {series.partition("{")[0] for series in healthy()}
    rules = [alert.expression for group in GROUPS for alert in group.alerts]
    asked = {name for expression in rules for name, _ in selected(expression) if name in OTHERS}

    assert names <= OTHERS.keys()
    assert {name for name in asked - names if "log_records" not in name} == set()


@pytest.mark.whole_matrix("it takes a minute, and every alert has cases of its own")
def test_alerts_fire_when_they_must_and_only_then() -> None:
    """Two months with 20 incidents raise exactly their alerts, and the page says when."""
    result = verdict(SEED)

    assert result.false == []
    assert result.missed == []
    assert (result.precision, result.recall) == (1, 1)
    assert PAGE.read_text(encoding="utf-8") == page(result)
