"""The working days of an application: small, large, failed and strange jobs, for users and admins."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
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
from tests.end_to_end.conftest import NewDatabase
from tests.end_to_end.documents import damaged, leaks, resume, resumes
from tests.end_to_end.processes import ROOT, environment
from tests.end_to_end.stack import SECRET, Stack, wait_until
from tests.end_to_end.submission import draft, draft_quickly, submit
from tests.screener.makers import word

pytestmark = pytest.mark.timeout(900)

LARGE = 250
LIMIT = 200
SIZE = 5_000_000
"""Bytes of a very large file."""
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
    """The stack after all of it, and the analysis of each job by what was special about it."""

    stack: Stack
    analyses: dict[str, int]

    def row(self, name: str) -> dict[str, Any]:
        return self.stack.sql.analysis(self.analyses[name])

    def run(self, name: str) -> dict[str, Any]:
        (found,) = self.stack.sql.runs(self.analyses[name], kind="analysis")
        return found

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ``flask telemetry …`` as an operator does."""
        stack = self.stack
        env = environment(
            SCREENER_DATABASE_URL=stack.database_url,
            SECRET_KEY=SECRET,
            TELEMETRY_SPOOL_DIR=str(stack.spool),
        )
        command = [sys.executable, "-m", "flask", "--app", "examples.screener.wsgi:app", "telemetry", *words]
        return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def days(
    new_database: NewDatabase, shared_standin: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Days]:
    """All jobs, one after the other."""
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
            "small": submit(client, [each.file for each in resumes(5)]).analysis,
            "large": _large(stack, client),
            "failed": submit(client, [damaged()]).analysis,
            "empty": submit(client, []).analysis,
            "duplicates": submit(client, [resume(1).file, ("again.txt", resume(1).data)]).analysis,
            "huge": submit(client, [_huge(), resume(2).file]).analysis,
        }
        stack.settle(60)
        yield Days(stack, analyses)


def _large(stack: Stack, client: ScreenerClient) -> int:
    """As the page does it: the warning, what the user chose, and the analysis, while the service is busy."""
    number = draft_quickly(stack, [each.file for each in resumes(LARGE, start=100)])
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
    """A text that goes on and on, in a file with a large picture."""
    lines = [f"Ada Vandersloot, line {number}: Python and PostgreSQL in production" for number in range(500)]
    target = io.BytesIO(word("\n".join(lines)))
    with zipfile.ZipFile(target, "a") as archive:
        archive.writestr("word/media/picture.bmp", bytes(SIZE))
    return "Vandersloot-large.docx", target.getvalue()


def test_a_small_job(days: Days) -> None:
    """All timings, the distribution of scores, and no rate limits."""
    row, run = days.row("small"), days.run("small")

    assert (row["status"], run["n_scored"], run["candidates"]) == ("completed", 5, 5)
    assert (row["rate_limit_hits"], row["rate_limit_retry_count"], row["error_count"]) == (0, 0, 0)
    assert row["embedding_generation_time"] > 0
    assert row["similarity_calculation_time"] > 0
    assert row["text_extraction_total_time"] > 0, "the uploads are charged to it"
    assert row["database_write_time"] > 0
    assert row["avg_overall_score"] is not None
    bands = ("candidates_above_70_percent", "candidates_50_to_70_percent", "candidates_below_50_percent")
    assert sum(row[name] for name in bands) == 5
    assert (row["exceeded_resume_limit"], row["user_chose_override"]) == (False, False)
    assert row["jd_file_size_bytes"] > 0
    assert run["jd_type"] == "txt"


def test_a_large_job(days: Days) -> None:
    """The warning and the override stand, rate limits were met, and it cost what it cost."""
    row, run = days.row("large"), days.run("large")
    warnings = days.stack.sql.rows(
        "SELECT * FROM document_warnings WHERE analysis_id = :id AND warning_type = 'batch_too_large'",
        id=days.analyses["large"],
    )

    assert [(each["user_action"], each["document_count"]) for each in warnings] == [("override", LARGE)]
    assert (row["status"], run["n_scored"]) == ("completed", LARGE)
    assert row["rate_limit_hits"] > 0
    assert (row["exceeded_resume_limit"], row["user_chose_override"]) == (True, True)
    assert row["total_api_cost"] > 0
    files = days.stack.sql.files(days.analyses["large"])
    assert all(each["resume_file_size_bytes"] == len(each["file_bytes"]) for each in files)
    assert len(files) == LARGE


def test_a_failed_job(days: Days) -> None:
    """It says why, and nobody's totals suffer."""
    row = days.row("failed")
    assert row["status"] == "failed"
    errors = {each["type"] for each in json.loads(row["error_details"])}
    assert errors == {
        f"examples.screener.{n}" for n in ("documents.UnreadableDocument", "work.AnalysisFailed")
    }
    user = wait_until("the user has spent what the analyses cost", lambda: _user_in_step(days))
    assert user["largest_batch_processed"] == LARGE


def _user_in_step(days: Days) -> Any:
    """Return the user's row if it agrees with those of the analyses, each of which is written on its own."""
    user = days.stack.sql.user()
    query = "SELECT SUM(total_api_cost) AS dollars, COUNT(*) AS jobs FROM analyses WHERE user_id = :id"
    spent = days.stack.sql.row(query, id=user["id"])
    agrees = (user["total_jobs_run"], user["total_api_spend"]) == (spent["jobs"], spent["dollars"])
    return user if agrees else None


def test_no_candidates_at_all(days: Days) -> None:
    """It fails gracefully, and divides by nothing."""
    row = days.row("empty")
    assert (row["status"], row["cost_per_candidate"], row["avg_overall_score"]) == ("failed", None, None)


def test_duplicates(days: Days) -> None:
    """They are counted where they came in, and analysed once."""
    runs = days.stack.sql.runs(days.analyses["duplicates"])
    assert sum(each["n_duplicates"] for each in runs) == 1
    assert days.run("duplicates")["n_scored"] == 1


def test_a_very_large_file(days: Days) -> None:
    """Its size is exact, and its length is worth a warning, which goes on with the analysis."""
    (large,) = [f for f in days.stack.sql.files(days.analyses["huge"]) if "large" in f["file_name"]]
    (warning,) = wait_until(
        "the warning has its analysis",
        lambda: days.stack.sql.rows(
            "SELECT * FROM document_warnings WHERE analysis_id = :id", id=days.analyses["huge"]
        ),
    )

    size = len(_huge()[1])
    assert size > SIZE
    assert (large["resume_file_size_bytes"], large["resume_file_type"]) == (size, "docx")
    assert large["resume_character_count"] > 20_000
    assert (warning["warning_type"], warning["user_action"]) == ("resume_too_long", "continued")
    assert warning["document_size"] == size
    told = json.loads(warning["additional_data"])
    assert told == {"limit": 20_000, "characters": large["resume_character_count"]}
    assert days.row("huge")["total_resume_file_size_bytes"] == size + len(resume(2).data)


@pytest.mark.parametrize("name", PLANS_QUERIES)
def test_nothing_is_inconsistent(days: Days, name: str) -> None:
    """By the queries of those who asked for it."""
    assert days.stack.sql.value(PLANS_QUERIES[name]) == 0


def test_what_an_operator_runs(days: Days) -> None:
    """Everything is in order, the day's figures are those of the runs, and nothing private is printed."""
    done = {
        words: days.command(*words.split())
        for words in ("validate", "health-check", "insights --json", "report --json", "export --format jsonl")
    }
    jobs = [json.loads(line) for line in done["export --format jsonl"].stdout.splitlines()]
    findings = [json.loads(line) for line in done["insights --json"].stdout.splitlines()]

    assert done["validate"].returncode == 0, done["validate"].stdout + done["validate"].stderr
    assert done["health-check"].returncode == 0, done["health-check"].stderr
    assert {job["analysis_ref"] for job in jobs} == set(days.analyses.values())
    assert done["insights --json"].returncode == int(any(each["severe"] for each in findings))
    assert json.loads(done["report --json"].stdout)
    assert leaks("".join(each.stdout + each.stderr for each in done.values())) == []


def test_what_an_admin_downloads(days: Days) -> None:
    """The view's figures, for admins and nobody else."""
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


def test_a_draft_that_came_to_nothing(days: Days) -> None:
    """What was warned of it is nobody's analysis."""
    client = days.stack.client()
    number = draft(client, [_huge()])
    subject = f"draft:{number}"

    def rows() -> list[dict[str, Any]]:
        query = "SELECT * FROM document_warnings WHERE subject = :subject"
        return days.stack.sql.rows(query, subject=subject)

    (row,) = wait_until("the warning is recorded", rows)
    assert (row["analysis_id"], row["user_action"]) == (None, None)
