"""The dialog before a large analysis, in a real browser: warnings and answers are recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

from examples.screener.auth import PASSWORD, USER_EMAIL
from examples.screener.standin.client import StandIn
from tests.browser import open_browser
from tests.end_to_end.conftest import NewDatabase
from tests.end_to_end.documents import resume
from tests.end_to_end.stack import Stack
from tests.end_to_end.submission import draft
from tests.waiting import until

LIMIT = 2
TRACKING = "**/api/track-warning**"

Open = Callable[[], Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as chromium:
        yield chromium


@pytest.fixture
def stack(new_database: NewDatabase, standin: StandIn, tmp_path: Path) -> Iterator[Stack]:
    settings = {"SCREENER_RESUME_LIMIT": str(LIMIT), "TELEMETRY_RESUME_MIN_CHARACTERS": "0"}
    with Stack(tmp_path, new_database("postgresql"), standin, **settings) as running:
        running.web()
        yield running


@pytest.fixture
def open_draft(browser: Browser, stack: Stack) -> Iterator[Open]:
    """Opens the page of a draft with one résumé above the limit, as a user who has signed in."""
    context = browser.new_context(base_url=stack.url)
    number = draft(stack.client(), [resume(n).file for n in range(LIMIT + 1)])

    def open_page() -> Page:
        page = context.new_page()
        page.goto("/sign-in")
        if page.get_by_label("E-mail").count():
            page.get_by_label("E-mail").fill(USER_EMAIL)
            page.get_by_label("Password").fill(PASSWORD)
            page.get_by_role("button", name="Sign in").click()
        page.goto(f"/drafts/{number}")
        return page

    yield open_page
    context.close()


def shown(stack: Stack) -> list[dict[str, object]]:
    kinds = "WHERE warning_type = 'batch_too_large' ORDER BY id"
    return stack.sql.rows(f"SELECT * FROM document_warnings {kinds}")


def actions(stack: Stack) -> list[object]:
    return [row["user_action"] for row in shown(stack)]


def analyse(page: Page) -> None:
    """Click on the analysis, and wait for the dialog."""
    page.get_by_role("button", name="Analyse", exact=True).click()
    page.get_by_role("dialog").wait_for()


def test_removing_some_is_recorded_as_reduced_batch(open_draft: Open, stack: Stack) -> None:
    """The warning is recorded when it is shown, and then answered; the page stays open."""
    page = open_draft()
    analyse(page)
    until(lambda: actions(stack) == [None], what="the warning is recorded")
    page.get_by_role("button", name="Remove some").click()

    until(lambda: actions(stack) == ["reduced_batch"], what="the answer is recorded")
    (row,) = shown(stack)
    assert (row["document_count"], row["additional_data"]) == (LIMIT + 1, f'{{"limit": {LIMIT}}}')
    assert (row["user_id"], row["analysis_id"]) == (stack.sql.user()["id"], None)
    assert page.get_by_role("dialog").count() == 0
    assert "/drafts/" in page.url


def test_going_on_is_recorded_as_override(open_draft: Open, stack: Stack) -> None:
    """The warning belongs to the analysis; the host's columns and the view agree."""
    page = open_draft()
    analyse(page)
    page.get_by_role("button", name="Analyse anyway").click()
    page.wait_for_url("**/analyses/*")
    analysis = int(page.url.rsplit("/", 1)[1])
    stack.settle()

    until(lambda: actions(stack) == ["override"], what="all is recorded")
    assert [row["analysis_id"] for row in shown(stack)] == [analysis]
    row = stack.sql.analysis(analysis)
    assert (row["exceeded_resume_limit"], row["user_chose_override"]) == (True, True)
    job = stack.sql.row("SELECT * FROM telemetry_jobs WHERE analysis_ref = :id", id=analysis)
    assert (job["exceeded_resume_limit"], job["user_chose_override"]) == (True, True)


def test_closing_the_tab_is_recorded_as_abandoned(open_draft: Open, stack: Stack) -> None:
    """The request that the page sends while it is closed arrives."""
    page = open_draft()
    analyse(page)
    until(lambda: actions(stack) == [None], what="the warning is recorded")
    page.wait_for_load_state("networkidle")
    page.close(run_before_unload=True)

    until(lambda: actions(stack) == ["abandoned"], what="the answer is recorded")


def test_escape_is_recorded_as_abandoned(open_draft: Open, stack: Stack) -> None:
    """Clicking again shows and records another warning."""
    page = open_draft()
    analyse(page)
    page.keyboard.press("Escape")
    until(lambda: actions(stack) == ["abandoned"], what="the answer is recorded")
    analyse(page)
    page.get_by_role("button", name="Remove some").click()

    until(lambda: actions(stack) == ["abandoned", "reduced_batch"], what="both are recorded")


def test_analysis_does_not_wait_for_telemetry(open_draft: Open, stack: Stack) -> None:
    """Even if the endpoint never answers, the analysis begins, and is recorded as an override."""
    page = open_draft()
    held: list[Route] = []
    page.route(TRACKING, lambda route: held.append(route))
    analyse(page)
    page.get_by_role("button", name="Analyse anyway").click()
    page.wait_for_url("**/analyses/*")
    stack.settle()

    assert held, "the page sent its warning"
    until(lambda: actions(stack) == ["override"], what="it is recorded")


def test_page_works_although_warnings_fail(open_draft: Open, stack: Stack) -> None:
    """An error of the endpoint causes no error in the page."""
    page = open_draft()
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.route(TRACKING, lambda route: route.fulfill(status=503, json={"error": "database", "field": "x"}))
    analyse(page)
    page.get_by_role("button", name="Remove some").click()
    analyse(page)
    page.get_by_role("button", name="Analyse anyway").click()
    page.wait_for_url("**/analyses/*")

    assert errors == []
