"""Pages in a real browser, as wide as a phone: the status of analyses, and the exports."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from examples.screener.admin import BATCH_SIZES, PERIODS, SEGMENTS
from examples.screener.auth import ADMIN_EMAIL, PASSWORD, USER_EMAIL
from examples.screener.standin.client import StandIn
from tests.browser import open_browser
from tests.end_to_end.conftest import NewDatabase
from tests.end_to_end.documents import resume
from tests.end_to_end.stack import Stack
from tests.end_to_end.submission import draft
from tests.screener.makers import damaged_pdf

PHONE: ViewportSize = {"width": 390, "height": 844}
LONG_NAME = "resume_of_a_person_with_a_very_long_name_that_has_no_space_at_all_in_it_final_version_2.txt"

SignIn = Callable[..., Page]


@pytest.fixture(scope="module")
def stack(
    new_database: NewDatabase, shared_standin: StandIn, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with Stack(folder, new_database("sqlite"), shared_standin) as running:
        running.web()
        yield running


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as chromium:
        yield chromium


@pytest.fixture
def sign_in(browser: Browser, stack: Stack) -> Iterator[SignIn]:
    """Signs a user in, in a window of a phone's size."""
    contexts = []

    def start(email: str) -> Page:
        context = browser.new_context(base_url=stack.url, viewport=PHONE)
        contexts.append(context)
        page = context.new_page()
        page.goto("/sign-in")
        page.get_by_label("E-mail").fill(email)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()
        return page

    yield start
    for context in contexts:
        context.close()


@pytest.fixture
def signed_out(browser: Browser, stack: Stack) -> Iterator[Page]:
    """A page of somebody who has not signed in."""
    page = browser.new_page(base_url=stack.url, viewport=PHONE)
    yield page
    page.close()


def fault(task: str, *contains: str) -> dict[str, Any]:
    """Return a fault that refuses the calls of a task, for all résumés or for one."""
    return {"match": {"task": task, "contains": contains}, "status": 400}


@pytest.mark.parametrize(
    ("faults", "damaged", "shown"),
    [
        ([], 0, "completed"),
        ([], 1, "partial failure"),
        ([fault("rank", "Reference 3")], 0, "partial failure"),
        ([fault("insights", "Reference 3")], 0, "completed"),
        ([fault("insights")], 0, "partial failure"),
        ([fault("rank")], 0, "failed"),
    ],
    ids=["nothing", "a file", "ratings of one", "insight of one", "every insight", "every rating"],
)
def test_pages_show_the_status_that_telemetry_records(
    sign_in: SignIn, stack: Stack, standin: StandIn, faults: list[dict[str, Any]], damaged: int, shown: str
) -> None:
    """An incomplete result is not shown as a success, although the job completed."""
    client = stack.client()
    number = draft(client, [resume(3).file, resume(4).file, *([("damaged.pdf", damaged_pdf())] * damaged)])
    standin.faults(faults)
    analysis = client.start(number)["analysis"]
    stack.settle()

    page = sign_in(USER_EMAIL)
    for path in (f"/analyses/{analysis}", f"/drafts/{number}", "/analyses"):
        page.goto(path)
        assert page.locator(".state").first.text_content() == shown, path
    assert stack.sql.analysis(analysis)["status"] == shown.replace(" ", "_")


def test_admin_downloads_exports(sign_in: SignIn, stack: Stack, standin: StandIn, tmp_path: Path) -> None:
    """The page is in the navigation and has filters; both formats hold the same analyses."""
    client = stack.client()
    client.start(draft(client, [resume(0).file]))
    stack.settle()
    page = sign_in(ADMIN_EMAIL)
    page.get_by_role("link", name="Admin").click()
    files_by_form = {}
    for form in ("CSV", "JSON"):
        with page.expect_download() as download:
            page.get_by_role("button", name=f"Download {form}").click()
        files_by_form[form] = tmp_path / download.value.suggested_filename
        download.value.save_as(files_by_form[form])

    with files_by_form["CSV"].open() as file:
        rows = [row["analysis_ref"] for row in csv.DictReader(file)]
    assert rows and rows == [
        str(row["analysis_ref"]) for row in json.loads(files_by_form["JSON"].read_text())
    ]
    page.get_by_label("Size").select_option("large")
    with page.expect_download() as download:
        page.get_by_role("button", name="Download CSV").click()
    download.value.save_as(files_by_form["CSV"])
    assert len(files_by_form["CSV"].read_text().splitlines()) == 1


def test_every_filter_of_the_page_is_accepted(sign_in: SignIn) -> None:
    """Telemetry refuses none of the choices."""
    page = sign_in(ADMIN_EMAIL)
    choices = {"days": PERIODS, "segment": SEGMENTS, "batch_size": BATCH_SIZES}
    for name, value in ((name, value) for name, values in choices.items() for value in values):
        answer = page.request.get("/admin/analytics/export/csv", params={name: value})
        assert answer.ok, (name, value, answer.text())


def test_users_cannot_see_the_admin_page(sign_in: SignIn) -> None:
    """They see neither the link nor the page."""
    page = sign_in(USER_EMAIL)

    assert page.get_by_role("link", name="Admin").count() == 0
    assert page.request.get("/admin/").status == 404


def test_pages_fit_a_phone(sign_in: SignIn, signed_out: Page, stack: Stack, standin: StandIn) -> None:
    """No page scrolls sideways, however long the names of files and positions are."""
    client = stack.client()
    files = [(LONG_NAME, resume(0).data), ("damaged.pdf", damaged_pdf()), resume(3).file, resume(4).file]
    number = draft(client, files, title=LONG_NAME)
    analysis = client.start(number)["analysis"]
    standin.faults([fault("rank")])
    client.start(number)
    paths = ["/drafts", f"/drafts/{number}", "/analyses", f"/analyses/{analysis}", "/nowhere"]
    user, admin = sign_in(USER_EMAIL), sign_in(ADMIN_EMAIL)
    visits = [(user, path) for path in paths] + [(admin, "/admin/"), (signed_out, "/sign-in")]

    assert [path for page, path in visits if not fits(page, path)] == []


def fits(page: Page, path: str) -> bool:
    """Return whether a page is no wider than the window, with all its details open."""
    page.goto(path)
    page.evaluate("document.querySelectorAll('details').forEach(element => element.open = true)")
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=f"{folder}/{path.strip('/').replace('/', '-')}.png", full_page=True)
    return bool(page.evaluate("document.documentElement.scrollWidth <= window.innerWidth"))
