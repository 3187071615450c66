"""Whether telemetry itself works, so that the other dashboards can be believed."""

from __future__ import annotations

from typing import Final

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.alert_rules.alerts.collector import JOB as COLLECTOR
from exporters.alert_rules.dashboards import TELEMETRY
from grafana.parts.dashboard import Board, row
from grafana.parts.kinds import figures, rows
from grafana.parts.panels import COUNT, DAY, DOLLARS, SECONDS, SHARE, About, Column, Owner, sql
from grafana.parts.plots import course
from grafana.parts.queries import APPLICATION, Metrics
from telemetry import conventions as c
from telemetry.conventions.gauges import GAUGES_AGE, GAUGES_EXPORTER, HEALTH_LOG_AGE, SILENT_RUNS

from .common.shared import NO_PROCESS

NO_COLLECTOR: Final = "Prometheus does not scrape a Collector."
OURS: Final = f'job="{COLLECTOR}"'


def board() -> Board:
    """Return the dashboard."""
    return Board(
        uid=TELEMETRY,
        title="Telemetry health",
        description="Whether telemetry itself works: spool, writer, Collector, scrapes, integrity, freshness.",
        filters=(),
        days=7,
        refresh="1m",
        rows=(
            row(5, (6, _lost()), (6, _waiting()), (6, _fresh()), (6, _violations())),
            row(8, (12, _spool()), (12, _oldest())),
            row(8, (12, _writer()), (12, _writer_failures())),
            row(8, (12, _internal()), (12, _unaccounted())),
            row(8, (8, _queue()), (8, _refused()), (8, _targets())),
            row(8, (9, _gauges()), (15, _log())),
        ),
    )


def _about(title: str, question: str, empty: str = NO_PROCESS, owner: Owner = Owner.ON_CALL) -> About:
    return About(title=title, question=question, empty=empty, owner=owner)


def _rate(metric: c.Metric, *by: str) -> Metrics:
    series = APPLICATION.series(metric)
    return Metrics(
        f"60 * sum by ({', '.join(by)}) (rate({series}[$__rate_interval]))",
        " ".join(f"{{{{{each}}}}}" for each in by),
    )


def _lost() -> Panel:
    return figures(
        _about("In quarantine or shed", "Is anything lost in this period, or kept out of the database?"),
        [
            Metrics(f"max({APPLICATION.series(c.SPOOL_DEAD)})", "In quarantine"),
            Metrics(f"max({APPLICATION.series(c.SPOOL_UNREADABLE)})", "Set aside"),
            Metrics(f"sum(increase({APPLICATION.series(c.SPOOL_SHED)}[$__range]))", "Shed"),
        ],
        unit=COUNT,
        decimals=0,
        limits={0: "green", 1: "red"},
    )


def _waiting() -> Panel:
    return figures(
        _about("Waiting for the database", "Do figures reach the database, and how late?"),
        [Metrics(f"max({APPLICATION.series(c.SPOOL_OLDEST)})", "Oldest")],
        unit=SECONDS,
        limits={0: "green", 60: "orange", 300: "red"},
    )


def _fresh() -> Panel:
    return figures(
        _about(
            "Freshness",
            "How old are the last job in the database and the gauges?",
            "There is no job in the database yet.",
        ),
        [
            *sql("""
SELECT extract(epoch FROM timezone('utc', now()) - started_at) AS "Last job"
FROM telemetry_jobs ORDER BY started_at DESC LIMIT 1"""),
        ],
        unit=SECONDS,
        limits={0: "green", 86400: "orange", 604800: "red"},
    )


def _violations() -> Panel:
    return figures(
        _about("Integrity", "Do all figures in the database agree with each other?"),
        [Metrics(f"sum(max by (check) ({APPLICATION.series(c.INTEGRITY_VIOLATIONS)}))", "Inconsistent rows")],
        unit=COUNT,
        limits={0: "green", 1: "red"},
    )


def _spool() -> Panel:
    return course(
        _about("Spool", "How much waits for the database, in all processes and in the one with most?"),
        [
            Metrics(f"sum({APPLICATION.series(c.SPOOL_PENDING)})", "All processes"),
            Metrics(f"max({APPLICATION.series(c.SPOOL_PENDING)})", "The one with most"),
        ],
        unit=COUNT,
    )


def _oldest() -> Panel:
    return course(
        _about("Oldest snapshot in the spool", "Does a process not get rid of what it has?"),
        [Metrics(f"max({APPLICATION.series(c.SPOOL_OLDEST)})", "Oldest")],
        unit=SECONDS,
    )


def _writer() -> Panel:
    buckets = APPLICATION.series(c.WRITER_DURATION, suffix="_bucket")
    return course(
        _about(
            "Transactions of the writer", "Is the database slow? The 95th percentile.", owner=Owner.DEVELOPERS
        ),
        [
            Metrics(
                f"histogram_quantile(0.95, sum by (le, transaction) (rate({buckets}[$__rate_interval])))",
                "{{transaction}}",
            )
        ],
        unit=SECONDS,
    )


def _writer_failures() -> Panel:
    return course(
        _about(
            "Failed transactions of the writer",
            "Does the database refuse what is written? It is tried again.",
        ),
        [_rate(c.WRITER_FAILURES, "transaction")],
        unit="cpm",
    )


def _internal() -> Panel:
    return course(
        _about(
            "Internal errors",
            "Does telemetry have errors of its own? None reaches the application.",
            owner=Owner.DEVELOPERS,
        ),
        [_rate(c.INTERNAL_ERRORS, "component"), _rate(c.VALUES_COERCED, "column")],
        unit="cpm",
    )


def _unaccounted() -> Panel:
    return course(
        _about(
            "Calls whose cost is unknown",
            "Why are totals lower bounds, and which calls belong to no run?",
            owner=Owner.DEVELOPERS,
        ),
        [_rate(c.OPENAI_UNACCOUNTED, "reason")],
        unit="cpm",
    )


def _queue() -> Panel:
    size, capacity = (f"otelcol_exporter_queue_{name}{{{OURS}}}" for name in ("size", "capacity"))
    return course(
        _about("Queue of the Collector", "Can the Collector deliver? At 1 it loses data.", NO_COLLECTOR),
        [Metrics(f"max by (exporter) ({size} / ({capacity} > 0))", "{{exporter}}")],
        unit=SHARE,
        limits={0: "text", 0.8: "red"},
    )


def _refused() -> Panel:
    kinds = {
        "refused": "otelcol_receiver_refused_{}_total",
        "not sent": "otelcol_exporter_send_failed_{}_total",
        "not queued": "otelcol_exporter_enqueue_failed_{}_total",
    }
    return course(
        _about("Refused and failed in the Collector", "Does it lose spans or metrics?", NO_COLLECTOR),
        [
            Metrics(f"60 * sum(rate({name.format(signal)}{{{OURS}}}[$__rate_interval]))", f"{signal}: {what}")
            for what, name in kinds.items()
            for signal in ("spans", "metric_points")
        ],
        unit="cpm",
    )


def _targets() -> Panel:
    return course(
        _about(
            "Scraped programs",
            "Does Prometheus reach every program? 1 is reached, 0 is not.",
            "Prometheus scrapes nothing.",
        ),
        [Metrics("min by (job) (up)", "{{job}}")],
        unit=COUNT,
        limits={0: "red", 1: "text"},
    )


def _gauges() -> Panel:
    return figures(
        _about(
            "Gauges from SQL",
            "Does one process export them, and are they fresh? Silent runs and the log's age as well.",
        ),
        [
            Metrics(f"sum({APPLICATION.series(GAUGES_EXPORTER)})", "Exporters"),
            Metrics(f"max({APPLICATION.series(GAUGES_AGE)})", "Age"),
            Metrics(APPLICATION.most(SILENT_RUNS), "Silent runs"),
            Metrics(APPLICATION.most(HEALTH_LOG_AGE), "Daily log"),
        ],
        unit=COUNT,
        decimals=0,
        columns={
            "Exporters": Column(limits={0: "red", 1: "green"}),
            "Age": Column(unit=SECONDS, limits={0: "green", 600: "red"}),
            "Silent runs": Column(limits={0: "green", 1: "red"}),
            "Daily log": Column(unit=SECONDS, limits={0: "green", 172800: "red"}),
        },
    )


def _log() -> Panel:
    return rows(
        _about(
            "Daily log",
            "What did the daily check write down, up to which day?",
            "The daily check has not written a day yet: see the page on maintenance.",
            Owner.ADMINS,
        ),
        sql("""
SELECT day AS "Day", jobs_completed AS "Completed", jobs_failed AS "Failed", mean_duration_seconds AS "Mean time",
  cost_dollars AS "Cost, at least", rate_limit_incidents AS "Rate limits", peak_concurrent_jobs AS "At once", api_calls AS "Calls"
FROM telemetry_health ORDER BY day DESC LIMIT 31"""),
        columns={
            "Day": Column(unit=DAY, width=100),
            "Mean time": Column(unit=SECONDS, decimals=1),
            "Cost, at least": Column(unit=DOLLARS, decimals=2, width=120),
        },
    )
