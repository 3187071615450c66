"""Write docs/reference/dashboards.md from the dashboards; `make docs` runs it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from exporters.alert_rules.dashboards import COST, ERRORS, OVERVIEW, PERFORMANCE, QUALITY, RATE_LIMITS, USERS
from grafana.parts.queries import SOURCES
from grafana.write import files

ROOT: Final = Path(__file__).parents[1]
PAGE: Final = ROOT / "docs" / "reference" / "dashboards.md"
TESTS: Final = ROOT / "tests" / "grafana"
HEAD: Final = """# Dashboards

For admins and on-call: what each dashboard and each panel answers, and where the figures of the former
admin page are.

Every dashboard of jobs has the same filters: a period (7, 30, 90 or 365 days, or any other), user segment,
batch size, user and model. The links "Export CSV" and "Export JSON" at the top download the jobs that they
leave. A sum of money is a lower bound where "Lower bound" beside it says how many runs have an unknown cost.
Days and weeks are in UTC. [How to change them](../how-to/dashboards.md). `make docs` writes this page from
`grafana/`.
"""


class Place(NamedTuple):
    """Where something is shown, and the test that proves it."""

    what: str
    uid: str
    panel: str
    test: str


SAME: Final = "test_database.py::test_panels_show_what_the_report_says"
ROWS: Final = "test_database.py::test_rows_add_up_to_the_report"
MONEY: Final = "test_database.py::test_panel_report_and_export_agree"
VALUES: Final = "test_values.py::test_{}"
"""Of tests that compute the same in plain Python."""
OVERVIEW_VALUES, QUALITY_VALUES, USER_VALUES, LIMIT_VALUES, ERROR_VALUES = (
    VALUES.format(name) for name in ("overview", "quality", "users", "rate_limits", "errors")
)
MONEY_OF_DAYS: Final = "test_money_values.py::test_money_of_each_day"
COST_VALUES: Final = "test_money_values.py::test_cost"

FORMER_PAGE: Final = (
    Place("Users, jobs and candidates", OVERVIEW, "Totals", SAME),
    Place("Revenue", OVERVIEW, "Totals", OVERVIEW_VALUES),
    Place("Jobs per day", OVERVIEW, "Jobs per day", ROWS),
    Place("Revenue per day", OVERVIEW, "Revenue, API cost and margin per day", MONEY_OF_DAYS),
    Place("Candidates per job: average, median, largest", OVERVIEW, "Candidates of a job", SAME),
    Place("Candidates per job: histogram", OVERVIEW, "Jobs by size", ROWS),
    Place("Processing time: average, fastest, slowest", OVERVIEW, "Processing time", SAME),
    Place("Processing time against candidates", OVERVIEW, "Time by candidates", OVERVIEW_VALUES),
    Place("Lengths of job descriptions", QUALITY, "Length of job descriptions", SAME),
    Place("Lengths of résumés", QUALITY, "Length of résumés", SAME),
    Place("Distribution of lengths: résumés", QUALITY, "Résumés by length", ROWS),
    Place("Distribution of lengths: job descriptions", QUALITY, "Job descriptions by length", QUALITY_VALUES),
    Place("Warnings shown, and what users did", USERS, "What users do after a warning", USER_VALUES),
    Place("Overrides and override rate", USERS, "Override rate", SAME),
    Place("Advice at 25 % and 50 %", USERS, "Advice on the limit", SAME),
    Place("Most active users", OVERVIEW, "Most active users", ROWS),
    Place("The 20 latest jobs", OVERVIEW, "Latest 20 jobs", ROWS),
    Place("Failed jobs with reason and progress", ERRORS, "Latest 20 failed jobs", ERROR_VALUES),
    Place("Cost per résumé and per job", COST, "Cost of one", SAME),
    Place("The same over time", COST, "Cost per job and candidate over time", MONEY_OF_DAYS),
    Place("Success rate", OVERVIEW, "Success rate", SAME),
    Place("Average API response time", PERFORMANCE, "API response time", SAME),
    Place("Health score of the last 50 jobs", OVERVIEW, "Health score", SAME),
)
PLAN: Final = (
    Place("Cost by kind of token", COST, "Cost by kind of token", COST_VALUES),
    Place("Saved by cached tokens", COST, "Saved by cached input", COST_VALUES),
    Place("Cost breakdown pie", COST, "Cost by stage", "test_database.py::test_stages_add_up_to_the_total"),
    Place("Résumé quality heatmap", QUALITY, "Seconds by file size and length", QUALITY_VALUES),
    Place("Problematic résumés", QUALITY, "Problem documents", QUALITY_VALUES),
    Place("User cohorts: new and returning", USERS, "New and returning users per week", USER_VALUES),
    Place("Batch size growth", USERS, "Batch size per week", USER_VALUES),
    Place("Rate limits by time of day", RATE_LIMITS, "When rate limits occur", ROWS),
    Place("Correlation with batch sizes", RATE_LIMITS, "Correlation with size", LIMIT_VALUES),
    Place("Retention", USERS, "Retention", VALUES.format("retention")),
    Place("Error types", ERRORS, "Errors by type", ERROR_VALUES),
    Place("Their trend", ERRORS, "Errors over time", ROWS),
    Place(
        "Filters: period, segment, batch size", COST, "API cost", "test_database.py::test_filters_take_effect"
    ),
    Place("Filters: user and model", COST, "API cost", "test_database.py::test_filters_take_effect"),
    Place(
        "Export as CSV and JSON, with the filters",
        COST,
        "API cost",
        "test_exports.py::test_a_download_has_the_jobs_of_the_dashboard",
    ),
    Place("One figure in panel, report and export", COST, "API cost", MONEY),
)


def page() -> str:
    """Return the page."""
    return "".join(f"{line}\n" for line in _lines())


def _lines() -> Iterator[str]:
    yield from HEAD.splitlines()
    boards = {board["uid"]: board for board in map(json.loads, files().values())}
    titles = {uid: board["title"] for uid, board in boards.items()}
    yield from ("", "## Figures of the former admin page", "", *_table("figure", FORMER_PAGE, titles))
    yield from ("", "## Charts and filters of the requirements", "", *_table("chart", PLAN, titles))
    sources = {source.plugin: source.label for source in SOURCES}
    for uid, board in boards.items():
        yield from ("", f"## {board['title']}", "", f"`{uid}`: {board['description']}", "")
        yield from (*_picture(uid, board["title"]), "")
        yield "| panel | what it answers | from |"
        yield "|---|---|---|"
        for panel in board["panels"]:
            source = sources[panel["datasource"]["type"]]
            yield f"| {panel['title']} | {panel['description']} | {source} |"


def _picture(uid: str, title: str) -> Iterator[str]:
    """Yield a picture that suits the reader's mode; `make pictures` draws them."""
    yield "<picture>"
    yield f'  <source media="(prefers-color-scheme: dark)" srcset="../pictures/{uid}-dark.png">'
    yield f'  <img alt="{title}, with figures of a generated year" src="../pictures/{uid}-light.png">'
    yield "</picture>"


def _table(what: str, places: tuple[Place, ...], titles: dict[str, str]) -> Iterator[str]:
    yield f"| {what} | dashboard | panel | test in `tests/grafana/` |"
    yield "|---|---|---|---|"
    for place in places:
        yield f"| {place.what} | {titles[place.uid]} | {place.panel} | `{place.test}` |"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
