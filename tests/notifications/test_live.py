"""What the real Alertmanager sends with the shipped configuration, when alerts arrive together."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date
from typing import Final

import pytest

from exporters.findings.alertmanager import Alertmanager
from exporters.findings.finding import Finding
from telemetry.settings import Settings
from tests.alertmanager import RunningAlertmanager
from tests.notifications.raised import raise_alerts, receiver
from tests.notifications.shipped import hurried, receiving
from tests.receivers import Webhook
from tests.tools import program
from tests.waiting import until

WAIT: Final = "10s"
"""Alerts of one test arrive within it, also on a busy machine."""
DAY: Final = date(2026, 11, 24)
Sent = tuple[str, str, str]
"""Receiver, name and environment of an alert that was sent."""
CAUSES: Final = {
    "PostgresDown": (
        "AnalysisWriterFailing",
        "AnalysisGaugesMissing",
        "AnalysisSpoolOld",
        "AnalysisSpoolBacklog",
        "AnalysisFailingFast",
        "AnalysisFailingSlowly",
        "AnalysisNoSuccess",
    ),
    "AnalysisWriterFailing": ("AnalysisSpoolOld", "AnalysisSpoolBacklog"),
    "OtelcolDown": ("AnalysisMetricsAbsent", "OtelcolQueueFilling", "OtelcolSendFailing", "OtelcolRefusing"),
    "AnalysisQuotaUsedUp": ("AnalysisFailingFast", "AnalysisRetriesExhausted", "AnalysisNoSuccess"),
    "AnalysisSpendLimitReached": ("AnalysisFailingSlowly", "AnalysisRetriesExhausted"),
    "AnalysisFailingFast": ("AnalysisFailingSlowly",),
    "AnalysisDailyBudgetPassed": ("AnalysisDailyBudgetNearlySpent",),
    "AnalysisMonthlyBudgetPassed": ("AnalysisMonthlyBudgetNearlySpent", "AnalysisMonthlyBudgetForecast"),
}
"""By alert those that follow from it."""


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as hook:
        yield hook


@pytest.fixture
def alertmanager(hook: Webhook) -> Iterator[RunningAlertmanager]:
    with RunningAlertmanager(
        hook.url, configuration=hurried(receiving(), WAIT), program=program("alertmanager")
    ) as running:
        yield running


def find(alertmanager: RunningAlertmanager, name: str) -> None:
    """Send a finding as `flask telemetry insights --notify` does."""
    finding = Finding(name, "alert", "It stands out", "$60 today.", {}, "See the report.", DAY)
    Alertmanager(alertmanager.url, Settings().alert_job).send(finding)


def sent(hook: Webhook) -> set[Sent]:
    """Return everything that was sent; fail if anything was sent twice."""
    every = [
        (body["receiver"], alert["labels"]["alertname"], alert["labels"].get("environment", ""))
        for body in list(hook.bodies)
        for alert in body["alerts"]
    ]
    assert len(every) == len(set(every)), every
    return set(every)


def assert_sent(hook: Webhook, alertmanager: RunningAlertmanager, expected: set[Sent]) -> None:
    """Wait for what is expected, and fail if anything else was sent, or is not suppressed."""
    until(lambda: expected <= sent(hook), what=f"{expected} are sent")
    assert sent(hook) == expected
    active = {
        (alert["labels"]["alertname"], alert["labels"].get("environment", ""))
        for alert in alertmanager.alerts()
        if alert["status"]["state"] != "suppressed"
    }
    assert active == {(name, environment) for _, name, environment in expected}


def test_a_budget_is_told_once_however_both_know_it(hook: Webhook, alertmanager: RunningAlertmanager) -> None:
    """The rule pages; the finding of the same name is not sent, whether it came before or after."""
    find(alertmanager, "daily_budget")
    raise_alerts(alertmanager, "Watchdog", "AnalysisDailyBudgetPassed", "AnalysisMonthlyBudgetPassed")
    find(alertmanager, "monthly_budget")
    find(alertmanager, "cost")
    find(alertmanager, "queue_wait")

    assert_sent(
        hook,
        alertmanager,
        {
            ("watchdog", "Watchdog", ""),
            ("page", "AnalysisDailyBudgetPassed", ""),
            ("page", "AnalysisMonthlyBudgetPassed", ""),
            ("channel", "TelemetryQueueWait", ""),
        },
    )


def test_without_prometheus_findings_are_sent(hook: Webhook, alertmanager: RunningAlertmanager) -> None:
    """Where nobody raises alerts, a finding is better than nothing."""
    find(alertmanager, "daily_budget")

    assert_sent(hook, alertmanager, {("channel", "AnalysisDailyBudgetPassed", "")})


def test_a_cause_silences_what_follows_from_it(hook: Webhook, alertmanager: RunningAlertmanager) -> None:
    """Each in an environment of its own; in another, where there is no cause, all of it is sent."""
    for cause, consequences in CAUSES.items():
        raise_alerts(alertmanager, *consequences, cause, environment=cause)
    without = {name for consequences in CAUSES.values() for name in consequences} - CAUSES.keys()
    raise_alerts(alertmanager, *without, environment="without")

    assert_sent(
        hook,
        alertmanager,
        {("page", cause, cause) for cause in CAUSES}
        | {(receiver(name), name, "without") for name in without},
    )


def test_critical_silences_the_warning_of_the_same_name(
    hook: Webhook, alertmanager: RunningAlertmanager
) -> None:
    """Own rules may have two levels under one name; those of another service are sent."""
    for severity, service in (("warning", "screener"), ("critical", "screener"), ("warning", "shop")):
        raise_alerts(alertmanager, "AnalysisCallsUnpriced", severity=severity, service=service)

    name = "AnalysisCallsUnpriced"
    assert_sent(hook, alertmanager, {("page", name, ""), ("channel", name, "")})
    assert {(body["receiver"], body["commonLabels"]["service"]) for body in hook.bodies} == {
        ("page", "screener"),
        ("channel", "shop"),
    }
