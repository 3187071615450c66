"""Days in the life of an application: small, large, failed and unusual jobs, for users and admins."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

import pytest
import requests

from examples.screener.auth import ADMIN_EMAIL, PASSWORD
from examples.screener.client import ScreenerClient
from examples.screener.standin.client import StandIn
from tests import fresh
from tests.end_to_end.conftest import NewDatabase
from tests.end_to_end.documents import damaged, leaks, resume, resumes
from tests.end_to_end.processes import ROOT, environment
from tests.end_to_end.stack import SECRET, Stack
from tests.end_to_end.submission import draft, draft_quickly, submit
from tests.screener.makers import word
from tests.waiting import until

pytestmark = pytest.mark.timeout(900)

LARGE = 250
LIMIT = 200
SIZE = 5_000_000
"""Bytes of the picture in a very large file."""
LIMITED = [{"status": 429, "rate": 0.1, "retry_after_ms": 15}]
PLANS_QUERIES = {
    "orphaned warnings": """SELECT COUNT(*) FROM document_warnings
        WHERE analysis_id NOT IN (SELECT id FROM analyses)""",
    "timing data": """SELECT COUNT(*) FROM analyses WHERE processing_duration_seconds IS NOT NULL
        AND (completed_at IS NULL OR created_at IS NULL)""",
    "score distribution": """SELECT COUNT(*) FROM analyses JOIN telemetry_runs ON analysis_ref = id
        WHERE kind = 'analysis' AND candidates_above_70_percent + candidates_50_to_70_percent
        + candidates_below_50_percent <> n_scored""",
}


@dataclass(frozen=True)
class Days:
    """The stack after all jobs, and the analysis of each by the name of the scenario."""

    stack: Stack
    analyses: dict[str, int]

    def row(self, name: str) -> dict[str, Any]:
        return self.stack.sql.analysis(self.analyses[name])

    def run(self, name: str) -> dict[str, Any]:
        (row,) = self.stack.sql.runs(self.analyses[name], kind="analysis")
        return row

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``flask telemetry …`` as an operator does."""
        stack = self.stack
        env = environment(
            SCREENER_DATABASE_URL=stack.database_url,
            SECRET_KEY=SECRET,
            TELEMETRY_SPOOL_DIR=str(stack.spool),
        )
        command = ("-m", "flask", "--app", "examples.screener.wsgi:app", "telemetry", *words)
        return fresh.run(*command, cwd=ROOT, env=env)


@pytest.fixture(scope="module")
def days(
    new_database: NewDatabase, shared_standin: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Days]:
    """All jobs, run one after the other."""
    shared_standin.reset_faults()
    shared_standin.clear()
    settings = {
        "SCREENER_RESUME_LIMIT": str(LIMIT),
        "TELEMETRY_RESUME_MIN_CHARACTERS": "0",
        "TELEMETRY_RESUME_MAX_CHARACTERS": "20000",
    }
    folder = tmp_path_factory.mktemp("scenarios")
    with Stack(folder, new_database("postgresql"), shared_standin, **settings) as stack:
        stack.web()
        stack.worker()
        client = stack.client()
        analyses = {
            "small": submit(client, [document.file for document in resumes(5)]).analysis,
            "large": _large(stack, client),
            "failed": submit(client, [damaged()]).analysis,
            "empty": submit(client, []).analysis,
            "duplicates": submit(client, [resume(1).file, ("again.txt", resume(1).data)]).analysis,
            "huge": submit(client, [_huge(), resume(2).file]).analysis,
        }
        stack.settle(60)
        yield Days(stack, analyses)


def _large(stack: Stack, client: ScreenerClient) -> int:
    """Send the warning, the user's answer and the analysis as the page does, while the service is busy."""
    number = draft_quickly(stack, [document.file for document in resumes(LARGE, start=100)])
    session: requests.Session = client._session
    shown: dict[str, Any] = {"warning_type": "batch_too_large", "document_count": LARGE, "limit": LIMIT}
    answer = session.post(
        f"{stack.url}/api/track-warning", json={**shown, "subject": f"draft:{number}"}, timeout=300
    )
    assert answer.json()["status"] == "tracked"
    chosen = {"user_action": "override"}
    url = f"{stack.url}/api/track-warning/{answer.json()['warning_id']}"
    assert session.patch(url, json=chosen, timeout=300).ok
    stack.standin.faults(LIMITED)
    analysis = int(client.start(number, override=True)["analysis"])
    client.wait(analysis, timeout=300, poll=0.2)
    stack.standin.reset_faults()
    return analysis


def _huge() -> tuple[str, bytes]:
    """Return a document with a very long text and a large picture."""
    lines = [f"Ada Vandersloot, line {number}: Python and PostgreSQL in production" for number in range(500)]
    target = io.BytesIO(word("\n".join(lines)))
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("word/media/picture.bmp", bytes(SIZE))
    return "Vandersloot-large.docx", target.getvalue()


def test_small_job_has_times_and_scores(days: Days) -> None:
    """It has all times, the distribution of scores, and no rate limits."""
    row, run = days.row("small"), days.run("small")

    assert (row["status"], run["n_scored"], run["candidates"]) == ("completed", 5, 5)
    assert (row["rate_limit_hits"], row["rate_limit_retry_count"], row["error_count"]) == (0, 0, 0)
    assert row["embedding_generation_time"] > 0
    assert row["similarity_calculation_time"] > 0
    assert row["text_extraction_total_time"] > 0, "it includes the intake"
    assert row["database_write_time"] > 0
    assert row["avg_overall_score"] is not None
    bands = ("candidates_above_70_percent", "candidates_50_to_70_percent", "candidates_below_50_percent")
    assert sum(row[name] for name in bands) == 5
    assert (row["exceeded_resume_limit"], row["user_chose_override"]) == (False, False)
    assert row["jd_file_size_bytes"] > 0
    assert run["jd_type"] == "txt"


def test_large_job_has_its_warning_and_override(days: Days) -> None:
    """It has rate limits and a cost, too."""
    row, run = days.row("large"), days.run("large")
    warnings = days.stack.sql.rows(
        "SELECT * FROM document_warnings WHERE analysis_id = :id AND warning_type = 'batch_too_large'",
        id=days.analyses["large"],
    )

    assert [(warning["user_action"], warning["document_count"]) for warning in warnings] == [
        ("override", LARGE)
    ]
    assert (row["status"], run["n_scored"]) == ("completed", LARGE)
    assert row["rate_limit_hits"] > 0
    assert (row["exceeded_resume_limit"], row["user_chose_override"]) == (True, True)
    assert row["total_api_cost"] > 0
    files = days.stack.sql.files(days.analyses["large"])
    assert all(file["resume_file_size_bytes"] == len(file["file_bytes"]) for file in files)
    assert len(files) == LARGE


def test_failed_job_names_its_errors(days: Days) -> None:
    """The user's totals agree with the analyses all the same."""
    row = days.row("failed")
    assert row["status"] == "failed"
    errors = {error["type"] for error in json.loads(row["error_details"])}
    assert errors == {
        f"examples.screener.{n}" for n in ("documents.UnreadableDocument", "work.AnalysisFailed")
    }
    user = until(lambda: _user_if_up_to_date(days), what="the user has spent what the analyses cost")
    assert user["largest_batch_processed"] == LARGE


def _user_if_up_to_date(days: Days) -> Any:
    """Return the user's row if it agrees with the analyses; both are written independently."""
    user = days.stack.sql.user()
    query = "SELECT SUM(total_api_cost) AS dollars, COUNT(*) AS jobs FROM analyses WHERE user_id = :id"
    spent = days.stack.sql.row(query, id=user["id"])
    agrees = (user["total_jobs_run"], user["total_api_spend"]) == (spent["jobs"], spent["dollars"])
    return user if agrees else None


def test_job_without_candidates_fails(days: Days) -> None:
    """Averages are NULL; nothing is divided by zero."""
    row = days.row("empty")
    assert (row["status"], row["cost_per_candidate"], row["avg_overall_score"]) == ("failed", None, None)


def test_duplicates_are_counted_and_analysed_once(days: Days) -> None:
    """They count in the intake."""
    runs = days.stack.sql.runs(days.analyses["duplicates"])
    assert sum(run["n_duplicates"] for run in runs) == 1
    assert days.run("duplicates")["n_scored"] == 1


def test_very_large_file_has_a_warning(days: Days) -> None:
    """Its size is exact; the warning about its length belongs to the analysis, which continues."""
    (large,) = [f for f in days.stack.sql.files(days.analyses["huge"]) if "large" in f["file_name"]]
    (warning,) = until(
        lambda: days.stack.sql.rows(
            "SELECT * FROM document_warnings WHERE analysis_id = :id", id=days.analyses["huge"]
        ),
        what="the warning has its analysis",
    )

    size = len(_huge()[1])
    assert size > SIZE
    assert (large["resume_file_size_bytes"], large["resume_file_type"]) == (size, "docx")
    assert large["resume_character_count"] > 20_000
    assert (warning["warning_type"], warning["user_action"]) == ("resume_too_long", "continued")
    assert warning["document_size"] == size
    additional = json.loads(warning["additional_data"])
    assert additional == {"limit": 20_000, "characters": large["resume_character_count"]}
    assert days.row("huge")["total_resume_file_size_bytes"] == size + len(resume(2).data)


@pytest.mark.parametrize("name", PLANS_QUERIES)
def test_nothing_is_inconsistent(days: Days, name: str) -> None:
    """The queries are those of the requirements."""
    assert days.stack.sql.value(PLANS_QUERIES[name]) == 0


def test_commands_of_an_operator_succeed(days: Days) -> None:
    """Everything is consistent, all analyses are exported, and no personal data is printed."""
    done = {
        words: days.command(*words.split())
        for words in ("validate", "health-check", "insights --json", "report --json", "export --format jsonl")
    }
    jobs = [json.loads(line) for line in done["export --format jsonl"].stdout.splitlines()]
    findings = [json.loads(line) for line in done["insights --json"].stdout.splitlines()]

    assert done["validate"].returncode == 0, done["validate"].stdout + done["validate"].stderr
    assert done["health-check"].returncode == 0, done["health-check"].stderr
    assert {job["analysis_ref"] for job in jobs} == set(days.analyses.values())
    assert done["insights --json"].returncode == int(any(finding["severe"] for finding in findings))
    assert json.loads(done["report --json"].stdout)
    assert leaks("".join(result.stdout + result.stderr for result in done.values())) == []


def test_only_admins_may_download(days: Days) -> None:
    """The download has the figures of the view `telemetry_jobs`."""
    stack = days.stack
    path = f"{stack.url}/admin/analytics/export/csv"
    admin = ScreenerClient(stack.url)
    admin.login(ADMIN_EMAIL, PASSWORD)
    answers = {
        "admin": admin._session.get(path, timeout=300),
        "user": stack.client()._session.get(path, timeout=300),
        "anybody": requests.get(path, timeout=300, allow_redirects=False),
    }
    admin.close()
    rows = list(csv.DictReader(io.StringIO(answers["admin"].text)))
    view = stack.sql.row("SELECT COUNT(*) AS jobs, SUM(cost_pico) AS pico FROM telemetry_jobs")

    assert answers["user"].status_code == 404
    assert answers["anybody"].status_code in (302, 401)
    assert len(rows) == view["jobs"] == len(days.analyses)
    assert sum(Decimal(row["cost_dollars"]) for row in rows) * 10**12 == view["pico"]
    assert leaks(answers["admin"].text) == []


def test_warning_of_an_unused_draft_has_no_analysis(days: Days) -> None:
    """It also has no answer."""
    client = days.stack.client()
    number = draft(client, [_huge()])
    subject = f"draft:{number}"

    def rows() -> list[dict[str, Any]]:
        query = "SELECT * FROM document_warnings WHERE subject = :subject"
        return days.stack.sql.rows(query, subject=subject)

    (row,) = until(rows, what="the warning is recorded")
    assert (row["analysis_id"], row["user_action"]) == (None, None)
