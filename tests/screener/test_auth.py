"""Authentication and authorization in the screener."""

from __future__ import annotations

import pytest
import requests
from flask import Flask

from examples.screener.auth import PASSWORD, USER_EMAIL
from examples.screener.client import ScreenerClient, ScreenerError
from examples.screener.models import db
from tests.screener.conftest import SignIn
from tests.screener.makers import resumes, rows


@pytest.mark.parametrize("path", ["/", "/drafts/1", "/analyses", "/analyses/1", "/analyses/1/status"])
def test_pages_require_a_session(user: ScreenerClient, draft: int, path: str) -> None:
    """A browser without a session is redirected to the sign-in page; a script gets 401."""
    page = requests.get(user.base_url + path, timeout=300)
    assert page.url.endswith("/sign-in")
    assert "Please sign in." in page.text
    assert (
        requests.get(user.base_url + path, headers={"Accept": "application/json"}, timeout=300).status_code
        == 401
    )


def test_wrong_password_is_refused(user: ScreenerClient) -> None:
    """The client raises an error that says so."""
    with pytest.raises(ScreenerError, match="wrong"):
        ScreenerClient(user.base_url).login(USER_EMAIL, "guess")


def test_server_error_is_not_reported_as_a_wrong_password(app: Flask, user: ScreenerClient) -> None:
    """The client names the status instead."""
    with app.app_context():
        db.drop_all()
    with pytest.raises(ScreenerError, match="answered 500"):
        ScreenerClient(user.base_url).login(USER_EMAIL, PASSWORD)


def test_form_without_its_csrf_token_is_refused(app: Flask) -> None:
    """No POST has an effect without the token of the session."""
    with app.test_client() as browser:
        assert browser.post("/sign-in", data={"email": USER_EMAIL, "password": PASSWORD}).status_code == 400
        page = browser.get("/sign-in").text
        token = page.split('name="csrf-token" content="')[1].split('"')[0]
        form = {"email": USER_EMAIL, "password": PASSWORD, "csrf_token": token}
        assert browser.post("/sign-in", data=form).status_code == 302
        refused = browser.post("/drafts", data={"title": "Baker"})
        assert refused.status_code == 400
        assert "CSRF token is missing" in refused.text
    assert rows(app, "SELECT id FROM drafts") == []


def test_drafts_and_analyses_are_private_except_to_an_admin(
    app: Flask, sign_in: SignIn, user: ScreenerClient, admin: ScreenerClient
) -> None:
    """A user sees only their own; an admin sees everything."""
    draft = admin.create_draft("Secret position")
    admin.upload_jd(draft, "jd.txt", b"Baker. Bread and cakes.")
    admin.upload_resumes(draft, resumes(1))
    analysis = admin.start(draft)["analysis"]
    with pytest.raises(ScreenerError, match="not found"):
        user.result(analysis)
    with pytest.raises(ScreenerError, match="not found"):
        user.upload_resumes(draft, resumes(1))
    with pytest.raises(ScreenerError, match="not found"):
        user.delete([analysis])
    own = user.create_draft("Mine")
    admin.upload_jd(own, "jd.txt", b"Baker. Bread and cakes.")


def test_signing_out_ends_the_session(app: Flask) -> None:
    """Afterwards pages require signing in again."""
    app.config["WTF_CSRF_ENABLED"] = False
    browser = app.test_client()
    browser.post("/sign-in", data={"email": USER_EMAIL, "password": PASSWORD})
    assert browser.get("/drafts").status_code == 200
    browser.post("/sign-out")
    assert browser.get("/drafts").status_code == 302


def test_the_set_up_commands_can_be_run_twice(app: Flask) -> None:
    """`init-db` and `seed` do not change existing rows."""
    runner = app.test_cli_runner()
    before = rows(app, "SELECT * FROM users ORDER BY id")
    for command in ("init-db", "seed"):
        result = runner.invoke(args=["screener", command])
        assert result.exit_code == 0, result.output
    assert rows(app, "SELECT * FROM users ORDER BY id") == before
    assert [row["is_admin"] for row in before] == [0, 1]
