"""Whether telemetry itself works, so that the other dashboards can be believed."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.alert_rules.dashboards import TELEMETRY
from exporters.assets.host_values import HostValue
from grafana.parts.dashboard import Board, row
from grafana.parts.kinds import figures, rows
from grafana.parts.panels import COUNT, DAY, DOLLARS, SECONDS, About, Column, Owner, sql
from grafana.parts.plots import course
from grafana.parts.queries import APPLICATION, Metrics
from telemetry import conventions as c
from telemetry.conventions.gauges import DAYS, GAUGES_AGE, GAUGES_EXPORTER, HEALTH_LOG_AGE, SILENT_RUNS, TODAY

from .common import around
from .common.colors import in_reds
from .common.shared import NO_PROCESS


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
            row(8, (8, around.queue()), (8, around.refused()), (8, around.scraped())),
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
        limits={0: "green", HostValue("spool_age_seconds"): "red"},
    )


def _fresh() -> Panel:
    return figures(
        _about(
            "Freshness",
            "How long ago did the last job in the database begin? The age of the gauges is below.",
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
        limits={0: "text", HostValue("spool_age_seconds"): "red"},
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
    return in_reds(
        course(
            _about(
                "Failed transactions of the writer",
                "Does the database refuse what is written? It is tried again.",
            ),
            [_rate(c.WRITER_FAILURES, "transaction")],
            unit="cpm",
        )
    )


def _internal() -> Panel:
    return in_reds(
        course(
            _about(
                "Internal errors",
                "Does telemetry have errors of its own? None reaches the application.",
                owner=Owner.DEVELOPERS,
            ),
            [_rate(c.INTERNAL_ERRORS, "component"), _rate(c.VALUES_COERCED, "column")],
            unit="cpm",
        )
    )


def _unaccounted() -> Panel:
    return in_reds(
        course(
            _about(
                "Calls whose cost is unknown",
                "Why are totals lower bounds, and which calls belong to no run?",
                owner=Owner.DEVELOPERS,
            ),
            [_rate(c.OPENAI_UNACCOUNTED, "reason")],
            unit="cpm",
        )
    )


def _of(query: str) -> str:
    return f'query="{query}"'


def _gauges() -> Panel:
    return figures(
        _about(
            "Gauges from SQL",
            "Does one process export them, and are they fresh? Silent runs and the log's age as well.",
        ),
        [
            Metrics(f"sum({APPLICATION.series(GAUGES_EXPORTER)})", "Exporters"),
            Metrics(f"max({APPLICATION.series(GAUGES_AGE, _of(TODAY))})", "Age (today)"),
            Metrics(f"max({APPLICATION.series(GAUGES_AGE, _of(DAYS))})", "Age (days)"),
            Metrics(APPLICATION.most(SILENT_RUNS), "Silent runs"),
            Metrics(APPLICATION.most(HEALTH_LOG_AGE), "Daily log"),
        ],
        unit=COUNT,
        decimals=0,
        columns={
            "Exporters": Column(limits={0: "red", 1: "green"}),
            "Age (today)": Column(
                unit=SECONDS, limits={0: "green", HostValue("gauges_today_seconds"): "red"}
            ),
            "Age (days)": Column(unit=SECONDS, limits={0: "green", HostValue("gauges_days_seconds"): "red"}),
            "Silent runs": Column(limits={0: "green", 1: "red"}),
            "Daily log": Column(unit=SECONDS, limits={0: "green", HostValue("health_log_seconds"): "red"}),
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
