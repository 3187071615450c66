"""Analyses that run within the request, and what can be done with their results."""

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
    """The candidates of a result without the numbers of their rows."""
    return [{key: value for key, value in c.items() if key != "id"} for c in result["candidates"]]


def balance(app: Flask) -> Decimal:
    """What has been paid, less refunds."""
    with app.app_context():
        return sum(db.session.scalars(db.select(Payment.amount_usd)), Decimal(0))


def test_five_resumes_are_analysed_within_the_request(
    make_app: MakeApp, sign_in: SignIn, standin: StandIn, database_url: str
) -> None:
    """When the request returns, the result, the files, the price and the counts are stored."""
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
    """The order follows the mean of the ratings, from 0 to 100; similarity agrees at the ends."""
    user.upload_resumes(draft, resumes(5))
    found = user.result(user.start(draft)["analysis"])
    candidates = found["candidates"]
    assert candidates[0]["name"] == "Emil Ek"
    assert candidates[-1]["name"] == "Ada Abel"
    overalls = [candidate["overall"] for candidate in candidates]
    assert overalls == sorted(overalls, reverse=True)
    assert 0 <= overalls[-1] < 50 < overalls[0] <= 100
    assert candidates[0]["similarity"] > candidates[-1]["similarity"]
    for candidate in candidates:
        scores = [rating["score"] for rating in candidate["ratings"]]
        assert len(scores) == len(found["criteria"])
        assert candidate["overall"] == pytest.approx(sum(scores) / len(scores), abs=0.01)


def test_the_calls_are_one_per_rating_and_three_insights(
    user: ScreenerClient, draft: int, standin: StandIn
) -> None:
    """One embeddings call for all texts, a call for each résumé and criterion, three insights."""
    user.upload_resumes(draft, resumes(5))
    standin.clear()
    found = user.result(user.start(draft)["analysis"])
    tasks = [attempt["task"] for attempt in standin.ledger()["attempts"]]
    assert tasks.count("rank") == 5 * len(found["criteria"])
    assert tasks.count("insights") == 3
    assert len(tasks) == tasks.count("rank") + 3 + 1
    assert [bool(candidate["insight"]) for candidate in found["candidates"]] == [True] * 3 + [False] * 2


def test_rate_limits_change_no_answer(user: ScreenerClient, draft: int, standin: StandIn) -> None:
    """With the first three attempts of every call refused, the result is the same as without."""
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
    """A call repeated by the app itself is counted with the job, a rating that cannot be had counts as 0."""
    user.upload_resumes(draft, [("ben.txt", resume_text(1).encode()), ("emil.txt", resume_text(4).encode())])
    match = {"task": "rank", "contains": "Ben Bauer"}
    standin.faults([{"match": match, "status": 429, "retry_after_ms": 1}])
    found = user.result(user.start(draft)["analysis"])
    criteria = len(found["criteria"])
    assert found["state"] == "completed"
    assert f"{criteria} answers could not be obtained" in found["message"]
    ben = next(c for c in found["candidates"] if c["name"] == "Ben Bauer")
    assert ben["overall"] == 0
    assert all(rating["fallback"] for rating in ben["ratings"])
    emil = next(c for c in found["candidates"] if c["name"] == "Emil Ek")
    assert emil["overall"] > 50
    assert rows(app, "SELECT retries, fallbacks FROM jobs") == [
        {"retries": 3 * criteria, "fallbacks": criteria}
    ]


def test_a_damaged_file_fails_alone(app: Flask, user: ScreenerClient, draft: int, standin: StandIn) -> None:
    """The others are rated as if it were not there; it is listed last, with the reason."""
    user.upload_resumes(draft, resumes(2))
    without = answers(user.result(user.start(draft)["analysis"]))
    user.upload_resumes(draft, [("broken.pdf", damaged_pdf())])
    found = user.result(user.start(draft)["analysis"])
    *good, broken = answers(found)
    assert found["state"] == "completed"
    assert found["num_candidates"] == 3
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
    """Nothing readable: the row stands, marked as failed with its reason, paid back, without any call."""
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


def test_zero_candidates_are_a_page_and_no_server_error(app: Flask, user: ScreenerClient, draft: int) -> None:
    """In the browser the message stands on a page answered with 400."""
    app.config["WTF_CSRF_ENABLED"] = False
    browser = app.test_client()
    browser.post("/sign-in", data={"email": "user@example.com", "password": "screener"})
    page = browser.post(f"/drafts/{draft}/analyses")
    assert page.status_code == 400
    assert "There is no résumé to analyse" in page.text


def test_a_draft_without_a_job_description_is_refused(app: Flask, user: ScreenerClient) -> None:
    """There is nothing to hold the résumés against, so nothing is started."""
    draft = user.create_draft("Engineer")
    user.upload_resumes(draft, resumes(1))
    with pytest.raises(ScreenerError, match="job description first"):
        user.start(draft)
    assert rows(app, "SELECT id FROM analyses") == []


def test_a_large_draft_needs_an_override(app: Flask, user: ScreenerClient, draft: int) -> None:
    """Above the limit nothing starts until the user insists, and the row remembers both."""
    user.upload_resumes(draft, resumes(13))
    with pytest.raises(ScreenerError, match="13 résumés, more than the 12"):
        user.start(draft)
    assert rows(app, "SELECT id FROM analyses") == []
    assert user.start(draft, override=True)["state"] == "queued"
    flags = rows(app, "SELECT exceeded_resume_limit AS e, user_chose_override AS o FROM analyses")
    assert flags == [{"e": 1, "o": 1}]


def test_an_analysis_that_fails_keeps_its_row(
    app: Flask, user: ScreenerClient, draft: int, standin: StandIn
) -> None:
    """When a stage cannot be done, the row stays, with the reason on its job; no files, money back."""
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


def test_the_row_and_the_progress_can_be_seen_while_it_runs(
    app: Flask, user: ScreenerClient, draft: int, standin: StandIn
) -> None:
    """The row is committed before the ranking, the files only at the end; the progress never goes back."""
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


def test_one_more_insight_is_unlocked_once(
    app: Flask, user: ScreenerClient, draft: int, standin: StandIn
) -> None:
    """A late insight costs one call and its price; asking again costs nothing and gives the same."""
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


def test_an_insight_that_cannot_be_written_costs_nothing(
    app: Flask, user: ScreenerClient, draft: int, standin: StandIn
) -> None:
    """A failed unlock says so, charges nothing and can be tried again."""
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


def test_a_draft_may_be_analysed_again(app: Flask, user: ScreenerClient, draft: int) -> None:
    """Two analyses of one draft give the same answers, each with its own files."""
    user.upload_resumes(draft, resumes(3))
    first, second = (user.result(user.start(draft)["analysis"]) for _ in range(2))
    assert answers(first) == answers(second)
    assert len(rows(app, "SELECT id FROM candidate_files")) == 6


def test_deleting_analyses_takes_their_files_along(app: Flask, user: ScreenerClient, draft: int) -> None:
    """Nothing of a deleted analysis stays but what was paid for it."""
    user.upload_resumes(draft, resumes(2))
    first, second, third = (user.start(draft)["analysis"] for _ in range(3))
    user.delete([first, third])
    for table in ("candidate_files", "jobs"):
        assert {row["analysis_id"] for row in rows(app, f"SELECT analysis_id FROM {table}")} == {second}
    assert rows(app, "SELECT id FROM analyses") == [{"id": second}]
    assert balance(app) == Decimal("6.60")


def test_the_pages_of_a_whole_visit_can_be_read(app: Flask, user: ScreenerClient, draft: int) -> None:
    """Drafts, a draft, analyses and a result are pages that show what they should."""
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
