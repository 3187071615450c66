"""The dashboard of one analysis shows its last run, and nothing of one that is deleted."""

from __future__ import annotations

from typing import Any

from tests.grafana.dashboards import sql_targets
from tests.grafana.rows import Row, Tables, near


def test_one_analysis(tables: Tables) -> None:
    """When its stages began, and its documents from the best to the worst."""
    job = max((job for job in tables.jobs if job["status"] == "completed"), key=lambda job: job["started_at"])
    given = str(job["analysis_ref"])
    parts = [part for part in tables.parts("telemetry_stage_usage") if part["run"] is job]
    times = sorted(
        (part["opened_us"], part["stage"], part["closed_us"])
        for part in parts
        if part["opened_us"] is not None
    )
    shown = tables.shown("analysis-one", "Stages", analysis=given)
    assert [(stage, float(begin), float(length)) for stage, begin, length in shown] == [
        (stage, near(opened / 1e6), near((closed - opened) / 1e6)) for opened, stage, closed in times
    ]
    assert len(shown) == 2

    scores = [file["score"] for file in tables.parts("telemetry_documents") if file["run"] is job]
    documents = tables.shown("analysis-one", "Documents", analysis=given)
    assert [document[1] for document in documents] == sorted(scores, reverse=True)[:500]


def last_two(tables: Tables) -> list[Row]:
    """Return the latest two completed jobs with documents, the older one first."""
    run_ids = {file["run_id"] for file in tables.parts("telemetry_documents")}
    jobs = [job for job in tables.jobs if job["run_id"] in run_ids and job["status"] == "completed"]
    return sorted(jobs, key=lambda job: job["started_at"])[-2:]


def test_of_two_runs_it_shows_the_last(tables: Tables) -> None:
    """And says so; money, calls and errors are those of both."""
    first, second = last_two(tables)
    given = str(second["analysis_ref"])
    change = f"UPDATE telemetry_runs SET analysis_ref = {given} WHERE run_id = '{first['run_id']}'"

    def shown(title: str) -> list[tuple[Any, ...]]:
        return tables.shown("analysis-one", title, analysis=given)

    with tables.changed(change):
        ((which, *_),) = shown("What it is")
        assert which == f"Analysis {given}, last of 2 runs"
        assert [(row[9], row[10]) for row in shown("Runs")] == [
            (first["run_id"], ""),
            (second["run_id"], "last"),
        ]
        files = [file for file in tables.parts("telemetry_documents") if file["run_id"] == second["run_id"]]
        assert len(shown("Documents")) == min(len(files), 500)
        assert sum(row[2] for row in shown("Calls")) == first["api_calls"] + second["api_calls"]


def test_nothing_is_shown_of_a_deleted_analysis(tables: Tables) -> None:
    """On no panel; and it is not the latest."""
    newest = max((job for job in tables.jobs), key=lambda job: job["started_at"])
    titles = {target.panel["title"] for target in sql_targets() if target.uid == "analysis-one"}
    assert {"Errors", "Documents", "Calls"} <= titles
    with tables.changed(
        f"UPDATE telemetry_runs SET analysis_gone = true WHERE run_id = '{newest['run_id']}'"
    ):
        for title in titles:
            assert tables.shown("analysis-one", title, analysis=str(newest["analysis_ref"])) == [], title
        ((which, *_),) = tables.shown("analysis-one", "What it is")
    assert which.startswith("Analysis ") and str(newest["analysis_ref"]) not in which
