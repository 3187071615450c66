"""Analyses that run within the request, and operations on their results."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from flask import Flask

from examples.screener.client import ScreenerClient, ScreenerError
from examples.screener.models import Analysis, Payment, db
from examples.screener.standin.client import StandIn
from tests.screener.conftest import MakeApp, SignIn
from tests.screener.makers import JD, NAMES, change, damaged_pdf, resume_text, resumes, rows


def answers(result: dict[str, Any]) -> list[dict[str, Any]]:
    """Return the candidates of a result without their ids."""
    return [{key: value for key, value in c.items() if key != "id"} for c in result["candidates"]]


def balance(app: Flask) -> Decimal:
    """Return the sum of payments less refunds."""
    with app.app_context():
        return sum(db.session.scalars(db.select(Payment.amount_usd)), Decimal(0))


def test_five_resumes_are_analysed_within_the_request(
    make_app: MakeApp, sign_in: SignIn, standin: StandIn, database_url: str
) -> None:
    """When the request returns, result, files, price and counts are stored."""
    app = make_app(SCREENER_DATABASE_URL=database_url)
    user = sign_in(app)
    draft = user.create_draft("Senior Backend Engineer")
    criteria = user.upload_jd(draft, "jd.txt", JD.encode())
    files = resumes(5)
    user.upload_resumes(draft, files)
    started = user.start(draft)
    assert (started["state"], started["progress"], started["message"]) == ("completed", 1.0, "")
    with app.app_context():
        row = db.session.get_one(Analysis, started["analysis"])
        assert (row.num_candidates, row.num_criteria, row.job_title) == (
            5,
            len(criteria),
            "Senior Backend Engineer",
        )
        assert row.cost_usd == Decimal("2.50")
        assert row.completed_at is not None and row.completed_at >= row.created_at
        assert row.processing_duration_seconds is not None
        assert (row.exceeded_resume_limit, row.user_chose_override) == (False, False)
        assert [(f.file_name, f.file_bytes) for f in row.files] == files
        assert [f.candidate_name for f in row.files] == NAMES
    assert rows(app, "SELECT total_analyses_count AS n FROM users ORDER BY id")[0] == {"n": 1}
    assert balance(app) == Decimal("2.50")


def test_better_resumes_come_first(user: ScreenerClient, draft: int) -> None:
    """Candidates are ordered by their mean rating, from 0 to 100; first and last agree with similarity."""
    user.upload_resumes(draft, resumes(5))
    result = user.result(user.start(draft)["analysis"])
    candidates = result["candidates"]
    assert candidates[0]["name"] == "Emil Ek"
    assert candidates[-1]["name"] == "Ada Abel"
    overalls = [candidate["overall"] for candidate in candidates]
    assert overalls == sorted(overalls, reverse=True)
    assert 0 <= overalls[-1] < 50 < overalls[0] <= 100
    assert candidates[0]["similarity"] > candidates[-1]["similarity"]
    for candidate in candidates:
        scores = [rating["score"] for rating in candidate["ratings"]]
        assert len(scores) == len(result["criteria"])
        assert candidate["overall"] == pytest.approx(sum(scores) / len(scores), abs=0.01)


def test_analysis_makes_the_expected_calls(user: ScreenerClient, draft: int, standin: StandIn) -> None:
    """One embeddings call for all texts, one call for each résumé and criterion, and three insights."""
    user.upload_resumes(draft, resumes(5))
    standin.clear()
    result = user.result(user.start(draft)["analysis"])
    tasks = [attempt["task"] for attempt in standin.ledger()["attempts"]]
    assert tasks.count("rank") == 5 * len(result["criteria"])
    assert tasks.count("insights") == 3
    assert len(tasks) == tasks.count("rank") + 3 + 1
    assert [bool(candidate["insight"]) for candidate in result["candidates"]] == [True] * 3 + [False] * 2


def test_rate_limits_change_no_answer(user: ScreenerClient, draft: int, standin: StandIn) -> None:
    """The result is the same if the first three attempts of every call are refused."""
    user.upload_resumes(draft, resumes(5))
    calm = user.result(user.start(draft)["analysis"])
    standin.clear()
    standin.faults([{"status": 429, "first_attempts": 3, "retry_after_ms": 5}])
    stormy = user.result(user.start(draft)["analysis"])
    statuses = [attempt["status"] for attempt in standin.ledger()["attempts"]]
    assert statuses.count(429) == 3 * statuses.count(200) > 0
    assert answers(stormy) == answers(calm)


def test_repeated_calls_and_fallbacks_are_counted(
    app: Flask, user: ScreenerClient, draft: int, standin: StandIn
) -> None:
    """The job counts calls that the app itself repeats; a rating that cannot be obtained counts as 0."""
    user.upload_resumes(draft, [("ben.txt", resume_text(1).encode()), ("emil.txt", resume_text(4).encode())])
    match = {"task": "rank", "contains": "Ben Bauer"}
    standin.faults([{"match": match, "status": 429, "retry_after_ms": 1}])
    result = user.result(user.start(draft)["analysis"])
    criteria = len(result["criteria"])
    assert result["state"] == "completed"
    assert f"{criteria} answers could not be obtained" in result["message"]
    ben = next(c for c in result["candidates"] if c["name"] == "Ben Bauer")
    assert ben["overall"] == 0
    assert all(rating["fallback"] for rating in ben["ratings"])
    emil = next(c for c in result["candidates"] if c["name"] == "Emil Ek")
    assert emil["overall"] > 50
    assert rows(app, "SELECT retries, fallbacks FROM jobs") == [
        {"retries": 3 * criteria, "fallbacks": criteria}
    ]


def test_damaged_file_affects_no_other_file(
    app: Flask, user: ScreenerClient, draft: int, standin: StandIn
) -> None:
    """The other files are rated as without it; it is listed last, with the reason."""
    user.upload_resumes(draft, resumes(2))
    without = answers(user.result(user.start(draft)["analysis"]))
    user.upload_resumes(draft, [("broken.pdf", damaged_pdf())])
    result = user.result(user.start(draft)["analysis"])
    *good, broken = answers(result)
    assert result["state"] == "completed"
    assert result["num_candidates"] == 3
    assert good == without
    assert (broken["overall"], broken["ratings"], broken["insight"]) == (None, [], None)
    assert broken["error"].startswith("broken.pdf: ")


@pytest.mark.parametrize(
    ("files", "reason"),
    [
        ([], "There is no résumé to analyse"),
        ([("broken.pdf", damaged_pdf())], "None of the 1 uploaded résumés could be read"),
    ],
)
def test_zero_candidates_fail_with_a_clear_message(
    app: Flask,
    user: ScreenerClient,
    draft: int,
    standin: StandIn,
    files: list[tuple[str, bytes]],
    reason: str,
) -> None:
    """The row is marked as failed with the reason, the payment is refunded, and no call is made."""
    user.upload_resumes(draft, files)
    standin.clear()
    started = user.start(draft)
    assert started["state"] == "failed"
    assert reason in started["message"]
    assert user.result(started["analysis"])["num_candidates"] == len(files)
    assert rows(app, "SELECT completed_at, coverage_data FROM analyses") == [
        {"completed_at": None, "coverage_data": None}
    ]
    assert balance(app) == 0
    assert standin.ledger()["attempts"] == []


def test_zero_candidates_are_answered_with_a_page(app: Flask, user: ScreenerClient, draft: int) -> None:
    """In a browser the message is on a page with status 400."""
    app.config["WTF_CSRF_ENABLED"] = False
    browser = app.test_client()
    browser.post("/sign-in", data={"email": "user@example.com", "password": "screener"})
    page = browser.post(f"/drafts/{draft}/analyses")
    assert page.status_code == 400
    assert "There is no résumé to analyse" in page.text


def test_draft_without_a_job_description_is_refused(app: Flask, user: ScreenerClient) -> None:
    """No analysis is started."""
    draft = user.create_draft("Engineer")
    user.upload_resumes(draft, resumes(1))
    with pytest.raises(ScreenerError, match="job description first"):
        user.start(draft)
    assert rows(app, "SELECT id FROM analyses") == []


def test_large_draft_needs_an_override(app: Flask, user: ScreenerClient, draft: int) -> None:
    """Above the limit an analysis starts only with the override; its row records both."""
    user.upload_resumes(draft, resumes(13))
    with pytest.raises(ScreenerError, match="13 résumés, more than the 12"):
        user.start(draft)
    assert rows(app, "SELECT id FROM analyses") == []
    assert user.start(draft, override=True)["state"] == "queued"
    flags = rows(app, "SELECT exceeded_resume_limit AS e, user_chose_override AS o FROM analyses")
    assert flags == [{"e": 1, "o": 1}]


def test_failed_analysis_keeps_its_row(
    app: Flask, user: ScreenerClient, draft: int, standin: StandIn
) -> None:
    """When a stage fails, the job has the reason, no files are stored, and the payment is refunded."""
    user.upload_resumes(draft, resumes(2))
    standin.faults([{"match": {"path": "/v1/embeddings"}, "status": 400}])
    started = user.start(draft)
    assert started["state"] == "failed"
    assert "BadRequestError" in started["message"]
    assert rows(app, "SELECT completed_at FROM analyses") == [{"completed_at": None}]
    assert rows(app, "SELECT id FROM candidate_files") == []
    assert balance(app) == 0
    standin.reset_faults()
    assert user.start(draft)["state"] == "completed"


def test_row_and_progress_are_visible_while_it_runs(
    app: Flask, user: ScreenerClient, draft: int, standin: StandIn
) -> None:
    """The row is committed before the ranking, files only at the end; progress never decreases."""
    user.upload_resumes(draft, resumes(3))
    standin.faults([{"match": {"task": "rank"}, "delay_ms": 400}])
    change(app, concurrency=4)
    seen: list[dict[str, Any]] = []
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(user.start, draft)
        while not rows(app, "SELECT id FROM analyses"):
            time.sleep(0.02)
        while not running.done():
            seen += rows(app, "SELECT state, progress, stage FROM jobs")
            if seen[-1]["stage"] == "ranking":
                assert rows(app, "SELECT id FROM candidate_files") == []
            time.sleep(0.05)
    assert seen[0]["state"] == "running"
    assert "ranking" in {status["stage"] for status in seen}
    progress = [status["progress"] for status in seen]
    assert progress == sorted(progress)
    assert any(0.1 < share < 0.9 for share in progress)


def test_late_insight_is_unlocked_once(
    app: Flask, user: ScreenerClient, draft: int, standin: StandIn
) -> None:
    """It costs one call and its price; unlocking it again is free and gives the same insight."""
    user.upload_resumes(draft, resumes(5))
    analysis = user.start(draft)["analysis"]
    last = user.result(analysis)["candidates"][-1]
    paid = balance(app)
    standin.clear()
    insight = user.unlock_insight(analysis, last["id"])
    assert insight["summary"]
    assert user.unlock_insight(analysis, last["id"]) == insight
    assert user.result(analysis)["candidates"][-1]["insight"] == insight
    assert [attempt["task"] for attempt in standin.ledger()["attempts"]] == ["insights"]
    assert balance(app) == paid + Decimal("0.50")


def test_failed_late_insight_costs_nothing(
    app: Flask, user: ScreenerClient, draft: int, standin: StandIn
) -> None:
    """The user is told so, is charged nothing, and can try again."""
    user.upload_resumes(draft, resumes(4))
    analysis = user.start(draft)["analysis"]
    last = user.result(analysis)["candidates"][-1]
    paid = balance(app)
    standin.faults([{"match": {"task": "insights"}, "bad_json": True}])
    with pytest.raises(ScreenerError, match="nothing was charged"):
        user.unlock_insight(analysis, last["id"])
    assert balance(app) == paid
    standin.reset_faults()
    assert user.unlock_insight(analysis, last["id"])["summary"]


def test_draft_may_be_analysed_again(app: Flask, user: ScreenerClient, draft: int) -> None:
    """Two analyses of one draft give the same result, each with its own files."""
    user.upload_resumes(draft, resumes(3))
    first, second = (user.result(user.start(draft)["analysis"]) for _ in range(2))
    assert answers(first) == answers(second)
    assert len(rows(app, "SELECT id FROM candidate_files")) == 6


def test_deleting_analyses_deletes_their_files(app: Flask, user: ScreenerClient, draft: int) -> None:
    """Of a deleted analysis only the payments remain."""
    user.upload_resumes(draft, resumes(2))
    first, second, third = (user.start(draft)["analysis"] for _ in range(3))
    user.delete([first, third])
    for table in ("candidate_files", "jobs"):
        assert {row["analysis_id"] for row in rows(app, f"SELECT analysis_id FROM {table}")} == {second}
    assert rows(app, "SELECT id FROM analyses") == [{"id": second}]
    assert balance(app) == Decimal("6.60")


def test_pages_show_their_content(app: Flask, user: ScreenerClient, draft: int) -> None:
    """The pages are those of drafts, a draft, analyses and a result."""
    user.upload_resumes(draft, [*resumes(3), ("broken.pdf", damaged_pdf())])
    analysis = user.start(draft)["analysis"]
    app.config["WTF_CSRF_ENABLED"] = False
    browser = app.test_client()
    browser.post("/sign-in", data={"email": "user@example.com", "password": "screener"})
    pages = {
        "/": "Senior Backend Engineer",
        f"/drafts/{draft}": "broken.pdf: the file is damaged",
        "/analyses": "partial failure",
        f"/analyses/{analysis}": "Strengths",
    }
    for path, words in pages.items():
        page = browser.get(path)
        assert page.status_code == 200
        assert words in page.text
