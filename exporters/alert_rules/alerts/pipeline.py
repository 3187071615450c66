"""Rules about telemetry itself: spool, writer, gauges from SQL, and contradictions in the tables."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from telemetry import conventions as c
from telemetry.conventions import gauges
from telemetry.settings import Settings

from .. import dashboards
from ..alert import Alert, Group
from ..expression import Application, number

LONGEST_GAP: Final = 300
"""Seconds without metrics, and with the default settings without new gauges, that are normal at most."""
TODAY_PERIODS: Final = 4
"""The same for the gauges of today, in their periods: a killed exporter is replaced within them."""


def pipeline(settings: Settings) -> Group:
    """Return the rules about telemetry itself."""
    application = Application.of(settings)
    return Group(
        "pipeline",
        60,
        (
            *_spool(settings, application),
            *_refused(application),
            _writer(application),
            *_gauges(settings, application),
            _integrity(application),
        ),
    )


def _spool(settings: Settings, application: Application) -> Iterator[Alert]:
    yield Alert(
        name="AnalysisSpoolBacklog",
        severity="warning",
        expression=f"{application.most(c.SPOOL_PENDING)} > {settings.spool_backlog}",
        summary="Many snapshots wait for the database.",
        description="{{ $value }} snapshots of a process wait in its spool.",
        dashboard=dashboards.TELEMETRY,
        service=application.job,
        settings=("spool_backlog",),
        for_seconds=600,
    )
    yield Alert(
        name="AnalysisSpoolOld",
        severity="warning",
        expression=f"{application.most(c.SPOOL_OLDEST)} > {number(settings.spool_age_seconds)}",
        summary="Snapshots have been waiting for the database for long.",
        description="The oldest snapshot has been waiting for {{ $value | humanizeDuration }}.",
        dashboard=dashboards.TELEMETRY,
        service=application.job,
        settings=("spool_age_seconds",),
        for_seconds=120,
    )


def _refused(application: Application) -> Iterator[Alert]:
    yield Alert(
        name="AnalysisSpoolFull",
        severity="warning",
        expression=f"{application.risen(c.SPOOL_SHED, '15m')} > 0",
        summary="The spool is full, and details are being left out.",
        description='About {{ $value | printf "%.0f" }} parts of snapshots were shed in 15 minutes.',
        dashboard=dashboards.TELEMETRY,
        service=application.job,
        settings=("spool_max_bytes",),
        at_once="what is shed is lost.",
        keep_seconds=900,
    )
    yield Alert(
        name="AnalysisSpoolQuarantine",
        severity="warning",
        expression=f"{application.most(c.SPOOL_DEAD)} > 0",
        summary="The database refuses snapshots, which are in quarantine.",
        description="{{ $value }} snapshots are in quarantine.",
        dashboard=dashboards.TELEMETRY,
        service=application.job,
        for_seconds=120,
    )


def _writer(application: Application) -> Alert:
    return Alert(
        name="AnalysisWriterFailing",
        severity="critical",
        expression=f"{application.risen(c.WRITER_FAILURES, '5m')} > 0",
        summary="Telemetry cannot write to the database.",
        description='About {{ $value | printf "%.0f" }} transactions of the writer failed in 5 minutes.',
        dashboard=dashboards.TELEMETRY,
        service=application.job,
        # It retries, so a single failure is nothing. Where it can write again, no failure follows.
        for_seconds=600,
    )


def _gauges(settings: Settings, application: Application) -> Iterator[Alert]:
    today, days = (
        application.series(gauges.GAUGES_AGE, f'query="{query}"') for query in (gauges.TODAY, gauges.DAYS)
    )
    yield Alert(
        name="AnalysisMetricsAbsent",
        severity="critical",
        # Every process exports these counters from its start on, also without a database.
        expression=f"absent({application.series(c.RUNS)})",
        summary="No metrics of the application arrive.",
        description="No process of {{ $labels.job }} has sent metrics for some minutes.",
        dashboard=dashboards.TELEMETRY,
        service=application.job,
        for_seconds=LONGEST_GAP,
    )
    yield Alert(
        name="AnalysisGaugesMissing",
        severity="critical",
        expression=(
            f"{application.most(gauges.GAUGES_EXPORTER)} == 0\n"
            f"or max by (job) ({today}) > {longest_gap(settings, TODAY_PERIODS)}\n"
            f"or max by (job) ({days}) > {longest_gap(settings, gauges.DAYS_PERIODS)}"
        ),
        summary="No process exports the figures from SQL, so alerts about money and jobs are blind.",
        description="The figures from SQL are missing or old for {{ $labels.job }}.",
        dashboard=dashboards.TELEMETRY,
        service=application.job,
        settings=("gauges_seconds",),
        for_seconds=longest_gap(settings, TODAY_PERIODS),
    )


def longest_gap(settings: Settings, periods: int) -> int:
    """Return the seconds without new gauges that are normal at most, by how often these are queried."""
    return max(LONGEST_GAP, math.ceil(periods * settings.gauges_seconds))


def _integrity(application: Application) -> Alert:
    return Alert(
        name="AnalysisIntegrityViolated",
        severity="warning",
        expression=f"{application.most(c.INTEGRITY_VIOLATIONS, 'check')} > 0",
        summary="Rows of telemetry contradict each other.",
        description="{{ $value }} rows break the rule {{ $labels.check }}.",
        dashboard=dashboards.TELEMETRY,
        service=application.job,
        settings=("integrity_seconds",),
        for_seconds=120,
    )
