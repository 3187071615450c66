"""A panel of each dashboard shows what plain Python makes of the rows of the tables, without any view."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from statistics import correlation, fmean, median, quantiles

import pytest

from tests.grafana.rows import PICO, Row, Tables, near


def week(time: datetime) -> datetime:
    """Return the Monday of a time."""
    return datetime.combine(time.date() - timedelta(days=time.weekday()), datetime.min.time())


def test_overview(tables: Tables) -> None:
    """Jobs of a day by status, and revenue, cost and margin."""
    expected = Counter((job["started_at"].date(), job["status"]) for job in tables.jobs)
    shown = tables.shown("analysis-overview", "Jobs per day")
    assert {(time.date(), status): count for time, status, count in shown} == expected

    delivered = [job for job in tables.jobs if job["status"] in ("completed", "partial_failure")]
    ((*_, revenue),) = tables.shown("analysis-overview", "Totals")
    assert revenue * PICO == sum(job["price_pico"] or 0 for job in delivered) > 0

    latest = sorted(tables.jobs, key=lambda job: job["started_at"], reverse=True)[:1000]
    points = [(job["candidates"], job["duration_us"] / 10**6, job["analysis_ref"]) for job in latest]
    assert [row[:3] for row in tables.shown("analysis-overview", "Time by candidates")] == points


def test_quality(tables: Tables) -> None:
    """The median time by size and length."""
    cells: dict[tuple[int, int], list[float]] = defaultdict(list)
    for file in tables.parts("telemetry_documents"):
        times = [file[name] for name in ("extraction_us", "analysis_us") if file[name] is not None]
        if file["size_bytes"] is not None and file["characters"] is not None and times:
            size = bisect_right([50_000, 100_000, 250_000, 1_000_000], file["size_bytes"])
            length = bisect_right([1_000, 2_500, 5_000, 10_000], file["characters"])
            cells[size, length].append(sum(times) / 1e6)
    shown = {
        (int(size[0]) - 1, "abcde".index(length[0])): seconds
        for size, length, seconds in tables.shown(
            "analysis-resume-quality", "Seconds by file size and length"
        )
    }
    assert shown == {cell: near(median(times)) for cell, times in cells.items()}
    assert len(shown) > 10

    lengths = Counter(
        bisect_right([1_000, 2_500, 5_000, 10_000], job["jd_characters"]) for job in tables.jobs
    )
    shown_lengths = tables.shown("analysis-resume-quality", "Job descriptions by length")
    assert [count for _, count in shown_lengths] == [lengths[place] for place in range(5)]

    def is_odd(file: Row) -> bool:
        seconds = ((file["extraction_us"] or 0) + (file["analysis_us"] or 0)) / 1e6
        return file["outcome"] == "failed" or (file["characters"] or 250) < 250 or seconds > 10

    odd = [file["run"]["analysis_ref"] for file in tables.parts("telemetry_documents") if is_odd(file)]
    problems = tables.shown("analysis-resume-quality", "Problem documents")
    assert len(problems) == min(len(odd), 100) > 0 and {row[0] for row in problems} <= {*odd}


def first_jobs(tables: Tables) -> dict[int, datetime]:
    """Return when each user ran the first job ever."""
    first: dict[int, datetime] = {}
    for run in sorted(tables.all_runs, key=lambda run: run["started_at"]):
        if run["kind"] == "analysis":
            first.setdefault(run["user_ref"], run["started_at"])
    return first


def test_users(tables: Tables) -> None:
    """New and returning users and the size of jobs of each week, and what users do after a warning."""
    first = first_jobs(tables)
    active = {(week(job["started_at"]), job["user_ref"]) for job in tables.jobs}
    new = Counter(monday for monday, user in active if week(first[user]) == monday)
    returning = Counter(monday for monday, user in active if week(first[user]) < monday)
    shown = tables.shown("analysis-users", "New and returning users per week")
    assert shown == [
        (monday, new[monday], returning[monday]) for monday in sorted({monday for monday, _ in active})
    ]

    sizes: dict[datetime, list[int]] = defaultdict(list)
    for job in tables.jobs:
        sizes[week(job["started_at"])].append(job["candidates"])
    growth = {monday: middle for monday, middle, _ in tables.shown("analysis-users", "Batch size per week")}
    assert growth == {monday: near(median(counts)) for monday, counts in sizes.items()}

    warnings = [
        warning
        for warning in tables.rows("document_warnings")
        if tables.start <= warning["warning_shown_at"] <= tables.end
    ]
    kinds = Counter(warning["warning_type"] for warning in warnings)
    overridden = Counter(
        warning["warning_type"] for warning in warnings if warning["user_action"] == "override"
    )
    shown = tables.shown("analysis-users", "What users do after a warning")
    assert {kind: (count, over) for kind, count, _, over, *_ in shown} == {
        kind: (count, overridden[kind]) for kind, count in kinds.items()
    }


def test_retention(tables: Tables) -> None:
    """Who of those who began in a month came back so many months later."""
    first = first_jobs(tables)

    def month(time: datetime) -> int:
        return time.year * 12 + time.month - 1

    size = Counter(map(month, first.values()))
    came = {(month(first[job["user_ref"]]), month(job["started_at"]), job["user_ref"]) for job in tables.jobs}
    back = Counter((began, at - began) for began, at, _ in came)
    cohorts = {
        (int(began[:4]) * 12 + int(began[5:]) - 1, int(later)): float(share)
        for began, later, share in tables.shown("analysis-users", "Retention")
    }
    recent = {key: count for key, count in back.items() if key in cohorts}
    assert cohorts == {key: near(count / size[key[0]]) for key, count in recent.items()}
    assert len(cohorts) > 20


def test_rate_limits(tables: Tables) -> None:
    """The correlation over the hours, and each cell of the heatmap."""
    hours: dict[datetime, list[Row]] = defaultdict(list)
    for job in tables.jobs:
        hours[job["started_at"].replace(minute=0, second=0, microsecond=0)].append(job)
    sizes = [fmean(job["candidates"] for job in jobs) for jobs in hours.values()]
    met = [fmean(job["rate_limit_hits"] > 0 for job in jobs) for jobs in hours.values()]
    assert tables.shown("analysis-rate-limits", "Correlation with size") == [
        (near(correlation(sizes, met)), len(hours))
    ]

    cells = Counter(
        (job["started_at"].date(), job["started_at"].hour) for job in tables.jobs if job["rate_limit_hits"]
    )
    shown = tables.shown("analysis-rate-limits", "When rate limits occur")
    assert {(day.date(), int(hour)): count for day, hour, count in shown if count} == cells
    assert len(shown) == 24 * len({job["started_at"].date() for job in tables.jobs})


def test_errors(tables: Tables) -> None:
    """By type, from the JSON of each run; and the share of failed jobs, as the objective counts them."""
    types: Counter[str] = Counter()
    for run in tables.runs:
        for error in json.loads(run["error_types"] or "[]"):
            types[error["type"]] += error["count"]
    shown = tables.shown("analysis-errors", "Errors by type")
    assert dict(shown) == types
    assert [count for _, count in shown] == sorted(types.values(), reverse=True)

    ended = [job["status"] for job in tables.jobs if job["status"] not in ("cancelled", "running")]
    ((*_, share),) = tables.shown("analysis-errors", "Failed jobs")
    assert float(share) == near((ended.count("failed") + ended.count("interrupted")) / len(ended))

    failed = [job for job in tables.jobs if job["status"] in ("failed", "interrupted", "partial_failure")]
    latest = sorted(failed, key=lambda job: job["started_at"], reverse=True)[:20]
    shown_jobs = tables.shown("analysis-errors", "Latest 20 failed jobs")
    assert [(row[3], row[5], row[9] * PICO) for row in shown_jobs] == [
        (job["status"], job["n_scored"], job["cost_pico"]) for job in latest
    ]


def test_performance(tables: Tables) -> None:
    """Percentiles of the time, and a candidate's time in the last two weeks."""
    seconds = [job["duration_us"] / 1e6 for job in tables.jobs]
    twentieths = quantiles(seconds, n=20, method="inclusive")
    expected = (median(seconds), twentieths[-1], max(seconds))
    ((middle, most, slowest),) = tables.shown("analysis-performance", "Duration of a job")
    assert (middle, most, float(slowest)) == tuple(map(near, expected))

    means = []
    for weeks in (0, 1):
        end = tables.end - timedelta(days=7 * weeks)
        jobs = [job for job in tables.jobs if end - timedelta(days=7) <= job["started_at"] < end]
        means.append(sum(job["duration_us"] for job in jobs) / 1e6 / sum(job["candidates"] for job in jobs))
    ((now, change),) = tables.shown("analysis-performance", "Week over week")
    assert (float(now), float(change)) == (near(means[0]), near(means[0] / means[1] - 1))


def test_telemetry(tables: Tables) -> None:
    """The days of the log, the newest first, and how old the newest job is."""
    days = sorted(tables.rows("system_health_log"), key=lambda row: row["log_date"], reverse=True)
    shown = tables.shown("analysis-telemetry", "Daily log")
    assert [(row[0], row[1], row[5]) for row in shown] == [
        (day["log_date"], day["jobs_completed"], day["rate_limit_incidents"]) for day in days
    ]
    ((age,),) = tables.shown("analysis-telemetry", "Freshness")
    newest = max(run["started_at"] for run in tables.all_runs if run["kind"] == "analysis")
    assert float(age) == pytest.approx(
        (datetime.now(UTC).replace(tzinfo=None) - newest).total_seconds(), abs=60
    )
