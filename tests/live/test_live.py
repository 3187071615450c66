"""What the live proof is made of; `make e2e` plays it, alone, because its time is compressed."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from tests.alert_rules.collected import ALERTS
from tests.live import compressed
from tests.live.plan import NOT_PROVOKED, incidents
from tests.live.record import FILE
from tests.notifications.shipped import ROUTING

NAMES = {alert.name for alert in ALERTS}
RULES = Path(__file__).parents[2] / "prometheus" / "rules"
PROVOKED = 0.8
"""Least share of the alerts that is provoked."""


def test_each_alert_is_provoked_or_the_reason_is_known() -> None:
    """An alert that is added needs an incident."""
    provoked = [alert for one in incidents() for alert in one.all]

    assert len(provoked) == len(set(provoked))
    assert {*provoked}.isdisjoint(NOT_PROVOKED) and {*provoked} | NOT_PROVOKED.keys() == NAMES
    assert {alert for one in incidents() for alert in one.also} <= NAMES
    assert len(provoked) >= PROVOKED * len(NAMES)


def test_the_page_shows_all_alerts_that_there_are() -> None:
    """`make e2e` has written what became of them."""
    proof: dict[str, Any] = json.loads(FILE.read_text())

    assert proof["factor"] == compressed.FACTOR
    assert {*proof["provoked"]} | {*proof["not_provoked"]} == NAMES
    assert proof["not_provoked"] == NOT_PROVOKED
    texts = {alert: (one.how, one.cure) for one in incidents() for alert in one.all}
    assert {name: (one["how"], one["cure"]) for name, one in proof["provoked"].items()} == texts


def test_nothing_but_durations_is_compressed() -> None:
    """Names, comparisons, texts and labels are those of the shipped rules and routes."""
    durations = re.compile(r"\b[0-9.]+(ms|[smhd])?\b")
    for text, changed in (
        *((path.read_text(), compressed.rules(path.read_text())) for path in RULES.glob("*.yml")),
        (ROUTING, compressed.routes(ROUTING)),
    ):
        assert changed != text
        assert durations.sub("", changed) == durations.sub("", text)


def test_durations_are_divided_down_to_what_prometheus_needs() -> None:
    """An hour is a minute; a window has several samples, and what is asked for at times is not too old."""
    rule = """\
    interval: 1m
        expr: increase(x_total[1h]) > 3600 and x_total offset 1m and
          max by (job) (telemetry_gauges_age_seconds{job="screener"}) > 300
          max by (job) (analysis_oldest_run_age_seconds{job="screener"}) > 7200
        for: 30s
        keep_firing_for: 90s
"""
    assert (
        compressed.rules(rule)
        == """\
    interval: 1s
        expr: increase(x_total[60s]) > 3600 and x_total offset 10s and
          max by (job) (telemetry_gauges_age_seconds{job="screener"}) > 15
          max by (job) (analysis_oldest_run_age_seconds{job="screener"}) > 120
        for: 1s
        keep_firing_for: 1500ms
"""
    )
    assert compressed.routes("group_wait: 30s\ngroup_interval: 0s") == "group_wait: 500ms\ngroup_interval: 0s"
