"""What pint checks of rules, as far as it matters here, under its names, and what we ask of ours."""

from __future__ import annotations

import re
from dataclasses import fields

import pytest

from exporters.alert_rules.alert import Alert
from exporters.alert_rules.groups import groups
from telemetry.conventions import METRICS
from telemetry.settings import PREFIX, Settings
from tests.alert_rules.collected import ALERTS, GROUPS

RECORDINGS = [recording for group in GROUPS for recording in group.recordings]
EXPRESSIONS = {alert.name: alert.expression for alert in ALERTS} | {
    recording.name: recording.expression for recording in RECORDINGS
}
OTHERS = {
    "up": "gauge",
    "pg_up": "gauge",
    "prometheus_config_last_reload_successful": "gauge",
    "prometheus_notifications_alertmanagers_discovered": "gauge",
    "alertmanager_config_last_reload_successful": "gauge",
    "otelcol_exporter_queue_size": "gauge",
    "otelcol_exporter_queue_capacity": "gauge",
    "prometheus_rule_evaluation_failures_total": "counter",
    "prometheus_notifications_errors_total": "counter",
    "alertmanager_notifications_failed_total": "counter",
    "otelcol_receiver_accepted_metric_points_total": "counter",
    "otelcol_exporter_sent_metric_points_total": "counter",
    "otelcol_processor_tail_sampling_sampling_traces_on_memory": "gauge",
    **{
        f"otelcol_{what}_{signal}_total": "counter"
        for what in ("exporter_enqueue_failed", "exporter_send_failed", "receiver_refused")
        for signal in ("spans", "metric_points", "log_records")
    },
}
"""Metrics of other programs in rules and runbooks; tests of these programs show that they are called so."""
PERSONAL = {"user_id", "user", "email", "job_id", "run_id", "trace_id", "file_name", "prompt"}
SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
ELSEWHERE = {
    "AnalysisCostAnomaly": ("anomaly_min_jobs",),
    "AnalysisVolumeAnomaly": ("anomaly_min_jobs",),
    "AnalysisRunsSilent": ("stale_seconds",),
    "AnalysisSpoolFull": ("spool_max_bytes",),
    "AnalysisIntegrityViolated": ("integrity_seconds",),
}
"""Settings that decide about an alert in the application, which computes the metric."""
alerts = pytest.mark.parametrize("alert", ALERTS, ids=lambda alert: alert.name)


def known() -> dict[str, str]:
    """Return the type of each metric by its name, or the names of its series, in Prometheus."""
    found = dict(OTHERS)
    for metric in METRICS:
        if metric.instrument == "histogram":
            found |= {f"{metric.prometheus_name}_{end}": "counter" for end in ("bucket", "sum", "count")}
            continue
        found[metric.prometheus_name] = metric.instrument
    return found


def selected(expression: str) -> list[tuple[str, str]]:
    """Return the metrics that an expression selects, each with the text before it."""
    return [
        (match[1], expression[: match.start()])
        for match in re.finditer(r"(?<![\w:])([a-z_][a-z0-9_]*)\{", expression)
    ]


@alerts
def test_alerts_annotation(alert: Alert) -> None:
    """The summary is one short sentence; the description has figures or labels."""
    assert "{{" not in alert.summary and len(alert.summary) <= 100 and alert.summary.endswith(".")
    assert "{{ $value" in alert.description or "{{ $labels" in alert.description
    assert re.fullmatch(r"analysis-[a-z0-9-]{1,31}", alert.dashboard)


@alerts
def test_rule_name_and_label(alert: Alert) -> None:
    """A name tells whose alert it is; labels are fixed texts."""
    assert re.fullmatch(r"(Analysis|Otelcol|Prometheus|Alertmanager|Postgres)[A-Z]\w+|Watchdog", alert.name)
    assert alert.severity in {"critical", "warning", "info"}
    assert re.fullmatch(r"[\w/.-]+", alert.service)


def test_rule_duplicate() -> None:
    """Names of alerts, recordings and groups are unique."""
    rules = [alert.name for alert in ALERTS] + [recording.name for recording in RECORDINGS]
    names = rules + [group.name for group in GROUPS]

    assert len({*names}) == len(names)


def test_few_alerts_page() -> None:
    """At most twelve are critical, and information is about headroom only, beside the watchdog."""
    assert sum(alert.severity == "critical" for alert in ALERTS) <= 12
    assert {alert.name for alert in ALERTS if alert.severity == "info"} == {
        "AnalysisHeadroomNearlyGone",
        "Watchdog",
    }


@alerts
def test_alerts_comparison(alert: Alert) -> None:
    """Each compares with something, or tests for absence; only the watchdog is always active."""
    is_compared = re.search(r" (>|<|>=|<=|==) |absent\(", alert.expression)

    assert bool(is_compared) != (alert.name == "Watchdog")


@alerts
def test_alerts_absent(alert: Alert) -> None:
    """What tests for absence waits at least twice the interval at which metrics are exported, a minute."""
    if "absent(" in alert.expression:
        assert alert.for_seconds >= 120


def test_alerts_for() -> None:
    """An alert that waits for nothing has to say why."""
    with pytest.raises(ValueError, match="at_once"):
        Alert(
            name="AnalysisX",
            severity="info",
            expression="up == 0",
            summary="",
            description="",
            dashboard="",
            service="",
        )


def test_group_interval() -> None:
    """Groups are evaluated every 15 seconds to five minutes."""
    assert all(15 <= group.interval_seconds <= 300 for group in GROUPS)


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_promql_series_and_counter(name: str) -> None:
    """Every metric exists; counters are within increase, or their mere presence is asked; gauges are not."""
    types = known()
    for metric, before in selected(EXPRESSIONS[name]):
        rises = before.endswith(("increase(", "absent("))
        appears = before.endswith(") (") and metric in OTHERS
        assert types[metric] != "counter" or rises or appears, metric
        assert types[metric] != "gauge" or not before.endswith("increase("), metric


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_promql_selector_and_aggregate(name: str) -> None:
    """Every selector names the job, and every aggregation keeps it; nothing is by a person, run or file."""
    expression = EXPRESSIONS[name]
    assert all(f"{metric}{{job" in expression for metric, _ in selected(expression))
    kept = re.findall(r"(?:by|on) \(([^)]*)\)", expression)

    assert all("job" in labels.split(", ") for labels in kept)
    assert PERSONAL & {label for labels in kept for label in labels.split(", ")} == set()
    assert "without (" not in expression


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_promql_nan(name: str) -> None:
    """What is divided by is more than 0, or there is no result."""
    for divisor in re.findall(r"\n?/ (.*)", EXPRESSIONS[name]):
        operand = re.sub(r"^on \([^)]*\) group_left \(\) ", "", divisor)
        assert operand.startswith("(") and "> 0)" in operand, divisor


@pytest.mark.parametrize("name", EXPRESSIONS)
def test_promql_range_query(name: str) -> None:
    """No window is longer than a Prometheus of 15 days, the default, can look back."""
    windows = re.findall(r"(?:\[|offset )(\d+)([smhd])", EXPRESSIONS[name])

    assert all(int(number) * SECONDS[unit] <= 0.9 * 15 * 86400 for number, unit in windows)


def test_promql_syntax_of_recordings() -> None:
    """They are named by level, metric and operations, and each is used."""
    for recording in RECORDINGS:
        assert re.fullmatch(r"[a-z_]+:[a-z0-9_]+:[a-z0-9_]+", recording.name)
        users = [name for name, text in EXPRESSIONS.items() if recording.name in text]
        assert users, recording.name


@alerts
def test_named_settings_are_those_that_count(alert: Alert) -> None:
    """Another value of a setting that an alert names changes the alert; of any other it does not."""
    defaults = Settings()
    for entry in fields(Settings):
        value = getattr(defaults, entry.name)
        if not isinstance(value, int | float) or isinstance(value, bool):
            continue
        another = value * 1.1 if isinstance(value, float) else value + 7
        changed = Settings.load({f"{PREFIX}{entry.name.upper()}": str(another)})
        (other,) = [one for group in groups(changed) for one in group.alerts if one.name == alert.name]
        is_named = entry.name in alert.settings and entry.name not in ELSEWHERE.get(alert.name, ())
        assert (other.expression != alert.expression) == is_named, entry.name


def test_quota_and_spend_limit_page_by_their_own_name() -> None:
    """No alert about rate limits or errors counts them."""
    others = {
        alert.name
        for alert in ALERTS
        if re.search("429_(quota|spend_limit)", alert.expression)
        or "refused_jobs" in alert.expression
        or "spend_limited_jobs" in alert.expression
    }

    assert others == {"AnalysisQuotaUsedUp", "AnalysisSpendLimitReached"}
