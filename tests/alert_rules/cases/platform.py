from __future__ import annotations

from collections.abc import Iterator

from tests.alert_rules.case import Active, Case, count_cases, levels, series


def outage(alert: str, name: str, job: str, wait: int, description: str, keep: int = 0) -> Iterator[Case]:
    """Yield the cases of a gauge that is 1 where all is well."""
    down, gauge = Active(description, {"job": job}), series(name, job=job)
    end = 30 + wait
    yield Case(
        alert,
        "fires",
        "0 for 20 minutes and the time it waits",
        {gauge: levels((10, 1), (20 + wait, 0), (30, 1))},
        silent=(9, 9 + wait, end + keep, end + 20),
        active={10 + wait: down, end + max(keep - 1, -1): down},
    )
    yield Case(alert, "threshold", "1", {gauge: levels((40, 1))}, silent=(0, 39))
    yield Case(alert, "no data", "a gap is not 0", {gauge: "_x40"}, silent=(39,))


def rise(alert: str, name: str, job: str, labels: dict[str, str], description: str) -> Iterator[Case]:
    """Yield the cases of a counter that may appear with its first event."""
    counter, expected = series(name, job=job, **labels), {"job": job, **labels}
    yield from count_cases(alert, counter, window=10, keep=10, labels=expected, description=description)
    yield Case(
        alert,
        "other",
        "the counter appears with the first failure",
        {counter: f"_x21 {levels((40, 1))}", series("up", job=job): levels((70, 1))},
        silent=(20, 41, 60),
        active={21: Active(description, expected), 40: Active(description, expected)},
    )
    yield Case(
        alert,
        "other",
        "the counter appears with the first success",
        {counter: f"_x21 {levels((40, 0))}", series("up", job=job): levels((70, 1))},
        silent=(21, 40),
    )


CASES = [
    *outage("PrometheusTargetDown", "up", "postgres", 5, "postgres has not answered for some minutes."),
    *outage(
        "PrometheusConfigReloadFailed",
        "prometheus_config_last_reload_successful",
        "prometheus",
        5,
        "prometheus could not load its configuration.",
    ),
    *rise(
        "PrometheusRulesFailing",
        "prometheus_rule_evaluation_failures_total",
        "prometheus",
        {"rule_group": "money.yml;money"},
        "Rules of money.yml;money fail.",
    ),
    *rise(
        "PrometheusNotificationsFailing",
        "prometheus_notifications_errors_total",
        "prometheus",
        {"alertmanager": "http://alertmanager:9093/api/v2/alerts"},
        "http://alertmanager:9093/api/v2/alerts does not take alerts.",
    ),
    *outage(
        "PrometheusWithoutAlertmanager",
        "prometheus_notifications_alertmanagers_discovered",
        "prometheus",
        5,
        "prometheus knows 0 Alertmanagers.",
    ),
    *outage(
        "AlertmanagerConfigReloadFailed",
        "alertmanager_config_last_reload_successful",
        "alertmanager",
        5,
        "alertmanager could not load its configuration.",
    ),
    *rise(
        "AlertmanagerNotificationsFailing",
        "alertmanager_notifications_failed_total",
        "alertmanager",
        {"integration": "webhook"},
        "Notifications by webhook fail.",
    ),
    *outage("PostgresDown", "pg_up", "postgres", 2, "postgres cannot connect to the database.", keep=7),
]
