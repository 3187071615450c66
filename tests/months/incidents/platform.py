"""What is wrong with the programs around the application."""

from __future__ import annotations

from typing import Final

from telemetry import conventions as c
from tests.months.incidents.incident import Incident, postpone
from tests.months.month import Month
from tests.months.programs import lost, named, queue, up
from tests.months.scene import MINUTE, at


def _postgres_down(month: Month) -> None:
    begin, end = at(10, 6, 10), at(10, 6, 10, 25)
    postpone(month, begin, end)
    month.programs[named("pg_up", "postgres")].during(begin, end, 0)
    month.no_database.append((begin, end))
    for second in range(begin, end, 30):
        month.count(second, lambda metrics: metrics.totals.add(c.WRITER_FAILURES, 1, transaction="rollup"))
    pending, oldest = month.gauges[c.SPOOL_PENDING.name], month.gauges[c.SPOOL_OLDEST.name]
    pending.during(begin, end, 4)
    for second in range(begin, end, MINUTE):
        oldest.during(second, second + MINUTE, second - begin)
    oldest.set(end, 0)


def _collector_down(month: Month) -> None:
    begin, end = at(10, 8, 14), at(10, 8, 14, 25)
    month.programs[up("otelcol")].during(begin, end, 0)
    month.no_metrics.append((begin, end))


def _jaeger_down(month: Month) -> None:
    begin, end, exporter = at(11, 19, 15), at(11, 19, 17), "otlp_http/jaeger"
    month.programs[queue(exporter)].during(begin + 30 * MINUTE, end, 1000)
    for minute in range(10, 30):
        month.programs[queue(exporter)].set(begin + minute * MINUTE, 50 * (minute - 9))
    for number, second in enumerate(range(begin + 35 * MINUTE, end, MINUTE), start=1):
        month.programs[lost("enqueue_failed", exporter)].set(second, 12 * number)


def _mail_refused(month: Month) -> None:
    name = named(
        "alertmanager_notifications_failed_total", "alertmanager", integration="email", reason="other"
    )
    for number in range(1, 4):
        month.programs[name].set(at(11, 20, 11, 5 * number), number)


INCIDENTS: Final = (
    Incident(
        "PostgreSQL is down for 25 minutes",
        at(10, 6, 10),
        at(10, 6, 11),
        {
            "PostgresDown": "",
            "AnalysisGaugesMissing": "nobody can query the gauges",
            "AnalysisWriterFailing": "the writer retries in vain",
            "AnalysisSpoolOld": "snapshots wait for longer than ten minutes",
        },
        _postgres_down,
    ),
    Incident(
        "the Collector is down for 25 minutes",
        at(10, 8, 14),
        at(10, 8, 15),
        {"OtelcolDown": "", "AnalysisMetricsAbsent": "what it does not forward is not there"},
        _collector_down,
    ),
    Incident(
        "the trace store is down for two hours",
        at(11, 19, 15),
        at(11, 19, 18),
        {"OtelcolQueueFilling": "", "OtelcolQueueFull": "and what comes then is lost"},
        _jaeger_down,
    ),
    Incident(
        "the mail server refuses notifications",
        at(11, 20, 11),
        at(11, 20, 12),
        {"AlertmanagerNotificationsFailing": ""},
        _mail_refused,
    ),
)
