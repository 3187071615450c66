"""Queries keep the rules that neither PostgreSQL nor Prometheus checks."""

from __future__ import annotations

import re
from typing import Any

import pytest

from grafana.parts.expansion import BadQuery, Moment, expand
from grafana.parts.names import check
from grafana.parts.queries import APPLICATION
from telemetry import conventions as c
from tests.grafana.dashboards import ALL, dashboards, has_filters, sql_targets, targets


def test_filters_are_applied() -> None:
    """D17: by every query of a dashboard that has them, and the period as well."""
    for target in sql_targets():
        if has_filters(dashboards()[f"{target.uid}.json"]):
            assert re.search(r"\$__timeFilter\(|\$__timeFrom\(\)", target.sql), target.name
            assert "${segment:" in target.sql and "${batch_size:" in target.sql, target.name


def test_variables_are_quoted_and_macros_are_known() -> None:
    """D18, D20: the expansion refuses everything else."""
    for target in sql_targets():
        text = expand(target.sql, Moment.last(7, ALL))
        assert "$" not in text, target.name


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("SELECT 1 WHERE ${segment} = 'all'", "is not quoted"),
        ("SELECT 1 WHERE '$segment' = 'all'", "is not quoted"),
        ("SELECT 1 WHERE ${segment:csv} = 'all'", "is not quoted"),
        ("SELECT ${other:sqlstring}", "other is no variable"),
        ("SELECT $__timeFitler(started_at) FROM telemetry_jobs", "no macro"),
        ("SELECT 1 FROM telemetry_runs", "telemetry_runs is no view"),
        ("SELECT stat FROM telemetry_jobs", "stat"),
        ("WITH a AS (SELECT run_id FROM telemetry_jobs) SELECT status FROM a", "status"),
        ("SELECT 1 FROM telemetry_jobs WHERE status = 'complete'", "status is never 'complete'"),
        ("SELECT 1 FROM telemetry_jobs WHERE kind IN ('analysis', 'job')", "kind is never 'job'"),
        ("SELECT FROM WHERE", "Expected|Invalid|Required"),
    ],
)
def test_wrong_queries_are_refused(text: str, message: str) -> None:
    """They fail when the dashboard is built."""
    with pytest.raises(BadQuery, match=message):
        check(expand(text, Moment.last(7, ALL)))


@pytest.mark.parametrize(
    ("text", "expanded"),
    [
        ("$__timeFilter(a.b)", r"a\.b BETWEEN '20\S+Z' AND '20\S+Z'"),
        ("$__timeGroup(a, '1d')", r"floor\(extract\(epoch from a\)/86400\)\*86400"),
        ("$__timeGroup(a, 1h), b", r'floor\(extract\(epoch from a\)/3600\)\*3600 AS "time", b'),
        ("$__timeGroupAlias(a, $__interval)", r'floor\(extract\(epoch from a\)/86400\)\*86400 AS "time"'),
        ("$__unixEpochTo() - $__unixEpochFrom()", r"\d{10} - \d{10}"),
        ("${user:sqlstring}", "'o''x'"),
    ],
)
def test_expansion_follows_grafana(text: str, expanded: str) -> None:
    """As its source and its tests have it."""
    assert re.fullmatch(expanded, expand(text, Moment.last(7, {"user": "o'x"})))


def test_a_metric_without_such_a_label_is_refused() -> None:
    with pytest.raises(LookupError, match="has no label model"):
        APPLICATION.series(c.RUNS, 'model="x"')


def expressions() -> list[Any]:
    return [target for target in targets() if target.expression]


def test_windows_are_those_of_the_reader() -> None:
    """D26: and no counter stands for itself."""
    for target in expressions():
        windows = re.findall(r"\[(\w+|\$\w+)\]", target.expression)
        assert all(each in ("$__rate_interval", "$__range") or each[-1] in "hd" for each in windows), (
            target.name
        )
        for found in re.finditer(r"\w+_total\{[^}]*\}(?!\[)", target.expression):
            raise AssertionError(f"{target.name}: {found[0]} without a rate")


def test_shares_have_a_guard() -> None:
    """D27: what they are divided by is not zero."""
    for target in sql_targets():
        for divisor in re.findall(r"/\s*([\w(]+)", target.sql):
            assert divisor.startswith("nullif(") or re.match(r"[\d(]", divisor), (target.name, divisor)
    for target in expressions():
        for divisor in re.findall(r"/\s*(\S+)", target.expression):
            assert re.match(r"[(\d]", divisor) and "> 0" in target.expression, (target.name, divisor)


def test_quantiles_keep_the_buckets() -> None:
    """D28."""
    for target in expressions():
        if "histogram_quantile" in target.expression:
            assert re.search(r"sum by \([^)]*\ble\b", target.expression), target.name


def test_what_is_joined_already_is_not_joined_again() -> None:
    """The views of documents and calls have the facts of the run, so the filters are applied to them."""
    reading = {}
    for target in sql_targets():
        views = re.findall(r"(?:FROM|JOIN) (telemetry_\w+)", target.sql)
        if "telemetry_run_documents" in views and has_filters(dashboards()[f"{target.uid}.json"]):
            reading[target.name] = "telemetry_jobs" in views
        if "call AS (" in target.sql:
            reading[target.name] = "called" in target.sql
    assert len(reading) > 10 and not any(reading.values()), reading
