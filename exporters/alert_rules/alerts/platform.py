"""Rules about Prometheus, Alertmanager and PostgreSQL, by what they say of themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from telemetry.settings import Settings

from .. import dashboards
from ..alert import Alert, Group
from ..expression import has_risen

PROMETHEUS: Final = "prometheus"
ALERTMANAGER: Final = "alertmanager"
POSTGRES: Final = "postgres"
"""The labels `job` under which Prometheus scrapes them; PostgreSQL by postgres_exporter."""
RISEN: Final = "an increase over ten minutes is no flicker."


def platform(_: Settings) -> Group:
    """Return the rules about the programs that alerting itself needs."""
    return Group("platform", 60, (*_prometheus(), *_alertmanager(), _postgres()))


def _prometheus() -> Iterator[Alert]:
    ours = f'job="{PROMETHEUS}"'
    yield Alert(
        name="PrometheusTargetDown",
        severity="warning",
        expression=f'max by (job) (up{{job=~"{PROMETHEUS}|{ALERTMANAGER}|{POSTGRES}"}}) == 0',
        summary="Prometheus does not reach a program that it watches.",
        description="{{ $labels.job }} has not answered for some minutes.",
        dashboard=dashboards.TELEMETRY,
        service=PROMETHEUS,
        for_seconds=300,
    )
    yield _reload("PrometheusConfigReloadFailed", PROMETHEUS)
    yield Alert(
        name="PrometheusRulesFailing",
        severity="warning",
        expression=has_risen("prometheus_rule_evaluation_failures_total", ours, "10m", "rule_group"),
        summary="Prometheus cannot evaluate rules, so alerts may be missing.",
        description="Rules of {{ $labels.rule_group }} fail.",
        dashboard=dashboards.TELEMETRY,
        service=PROMETHEUS,
        at_once=RISEN,
        keep_seconds=600,
    )
    yield Alert(
        name="PrometheusNotificationsFailing",
        severity="warning",
        expression=has_risen("prometheus_notifications_errors_total", ours, "10m", "alertmanager"),
        summary="Prometheus cannot send alerts to an Alertmanager.",
        description="{{ $labels.alertmanager }} does not take alerts.",
        dashboard=dashboards.TELEMETRY,
        service=PROMETHEUS,
        at_once=RISEN,
        keep_seconds=600,
    )
    yield Alert(
        name="PrometheusWithoutAlertmanager",
        severity="warning",
        expression=f"max by (job) (prometheus_notifications_alertmanagers_discovered{{{ours}}}) == 0",
        summary="Prometheus knows no Alertmanager, so nobody gets its alerts.",
        description="{{ $labels.job }} knows {{ $value }} Alertmanagers.",
        dashboard=dashboards.TELEMETRY,
        service=PROMETHEUS,
        for_seconds=300,
    )


def _alertmanager() -> Iterator[Alert]:
    yield _reload("AlertmanagerConfigReloadFailed", ALERTMANAGER)
    ours = f'job="{ALERTMANAGER}"'
    yield Alert(
        name="AlertmanagerNotificationsFailing",
        severity="warning",
        expression=has_risen("alertmanager_notifications_failed_total", ours, "10m", "integration"),
        summary="Alertmanager cannot notify anybody by one of its ways.",
        description="Notifications by {{ $labels.integration }} fail.",
        dashboard=dashboards.TELEMETRY,
        service=ALERTMANAGER,
        at_once=RISEN,
        keep_seconds=600,
    )


def _reload(name: str, job: str) -> Alert:
    return Alert(
        name=name,
        severity="warning",
        expression=f'min by (job) ({job}_config_last_reload_successful{{job="{job}"}}) == 0',
        summary="A changed configuration was not accepted, and the old one is still in use.",
        description="{{ $labels.job }} could not load its configuration.",
        dashboard=dashboards.TELEMETRY,
        service=job,
        for_seconds=300,
    )


def _postgres() -> Alert:
    return Alert(
        name="PostgresDown",
        severity="critical",
        expression=f'max by (job) (pg_up{{job="{POSTGRES}"}}) == 0',
        summary="PostgreSQL is down.",
        description="{{ $labels.job }} cannot connect to the database.",
        dashboard=dashboards.TELEMETRY,
        service=POSTGRES,
        for_seconds=120,
        # It silences AnalysisWriterFailing, which sees the failures of the last five minutes.
        keep_seconds=420,
    )
