"""The dialog before a large analysis, in a real browser: what is shown and done is recorded."""

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
from tests.end_to_end.stack import Stack, wait_until
from tests.end_to_end.submission import draft

LIMIT = 2
TRACKING = "**/api/track-warning**"

Open = Callable[[], Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as found:
        yield found


@pytest.fixture
def stack(new_database: NewDatabase, standin: StandIn, tmp_path: Path) -> Iterator[Stack]:
    settings = {"SCREENER_RESUME_LIMIT": str(LIMIT), "TELEMETRY_RESUME_MIN_CHARACTERS": "0"}
    with Stack(tmp_path, new_database("postgresql"), standin, **settings) as found:
        found.web()
        yield found


@pytest.fixture
def open_draft(browser: Browser, stack: Stack) -> Iterator[Open]:
    """Opens the page of a draft with one résumé too many, as a user who has signed in."""
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
    """Ask for the analysis: the dialog comes instead."""
    page.get_by_role("button", name="Analyse", exact=True).click()
    page.get_by_role("dialog").wait_for()


def test_who_removes_some_has_reduced_the_batch(open_draft: Open, stack: Stack) -> None:
    """Shown, then answered; the page stays."""
    page = open_draft()
    analyse(page)
    wait_until("the warning is recorded", lambda: actions(stack) == [None])
    page.get_by_role("button", name="Remove some").click()

    wait_until("the answer is recorded", lambda: actions(stack) == ["reduced_batch"])
    (row,) = shown(stack)
    assert (row["document_count"], row["additional_data"]) == (LIMIT + 1, f'{{"limit": {LIMIT}}}')
    assert (row["user_id"], row["analysis_id"]) == (stack.sql.user()["id"], None)
    assert page.get_by_role("dialog").count() == 0
    assert "/drafts/" in page.url


def test_who_goes_on_has_overridden_the_limit(open_draft: Open, stack: Stack) -> None:
    """The warning belongs to the analysis; the host's flags and the view say the same."""
    page = open_draft()
    analyse(page)
    page.get_by_role("button", name="Analyse anyway").click()
    page.wait_for_url("**/analyses/*")
    analysis = int(page.url.rsplit("/", 1)[1])
    stack.settle()

    wait_until("all is recorded", lambda: actions(stack) == ["override"])
    assert [row["analysis_id"] for row in shown(stack)] == [analysis]
    row = stack.sql.analysis(analysis)
    assert (row["exceeded_resume_limit"], row["user_chose_override"]) == (True, True)
    job = stack.sql.row("SELECT * FROM telemetry_jobs WHERE analysis_ref = :id", id=analysis)
    assert (job["exceeded_resume_limit"], job["user_chose_override"]) == (True, True)


def test_who_closes_the_tab_has_abandoned_it(open_draft: Open, stack: Stack) -> None:
    """What a page says as it goes away arrives."""
    page = open_draft()
    analyse(page)
    wait_until("the warning is recorded", lambda: actions(stack) == [None])
    page.wait_for_load_state("networkidle")
    page.close(run_before_unload=True)

    wait_until("the answer is recorded", lambda: actions(stack) == ["abandoned"])


def test_who_escapes_has_abandoned_it(open_draft: Open, stack: Stack) -> None:
    """And who asks again is shown another warning."""
    page = open_draft()
    analyse(page)
    page.keyboard.press("Escape")
    wait_until("the answer is recorded", lambda: actions(stack) == ["abandoned"])
    analyse(page)
    page.get_by_role("button", name="Remove some").click()

    wait_until("both are recorded", lambda: actions(stack) == ["abandoned", "reduced_batch"])


def test_nobody_waits_for_telemetry(open_draft: Open, stack: Stack) -> None:
    """The endpoint never answers: the analysis begins all the same, and is known to override."""
    page = open_draft()
    held: list[Route] = []
    page.route(TRACKING, lambda route: held.append(route))
    analyse(page)
    page.get_by_role("button", name="Analyse anyway").click()
    page.wait_for_url("**/analyses/*")
    stack.settle()

    assert held, "the page did tell"
    wait_until("it is recorded", lambda: actions(stack) == ["override"])


def test_without_a_database_for_warnings_the_page_works(open_draft: Open, stack: Stack) -> None:
    """Whatever the endpoint says."""
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
