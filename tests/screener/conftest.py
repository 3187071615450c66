"""The screener, served over HTTP, with the stand-in for OpenAI."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest
from flask import Flask

from examples.screener.app import create_app, init_db
from examples.screener.auth import ADMIN_EMAIL, PASSWORD, USER_EMAIL, seed_users
from examples.screener.client import ScreenerClient
from examples.screener.models import db
from examples.screener.standin.client import StandIn
from tests.screener.makers import JD, served

MakeApp = Callable[..., Flask]
SignIn = Callable[..., ScreenerClient]


@pytest.fixture(scope="session")
def standin_process() -> Iterator[StandIn]:
    """One stand-in for the whole test run."""
    with StandIn() as standin:
        yield standin


@pytest.fixture
def standin(standin_process: StandIn, monkeypatch: pytest.MonkeyPatch) -> StandIn:
    """The stand-in without faults and with an empty ledger; OpenAI clients use it."""
    monkeypatch.setenv("OPENAI_API_KEY", "any")
    monkeypatch.setenv("OPENAI_BASE_URL", standin_process.url)
    standin_process.reset_faults()
    standin_process.clear()
    return standin_process


@pytest.fixture
def environment(sqlite_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The settings that all apps and workers of a test share."""
    monkeypatch.setenv("SCREENER_DATABASE_URL", sqlite_url)
    monkeypatch.setenv("SECRET_KEY", "for tests only")
    monkeypatch.setenv("SCREENER_RETRY_PAUSE", "0.01")
    monkeypatch.setenv("TELEMETRY_ENABLED", "false")


@pytest.fixture
def make_app(environment: None, standin: StandIn) -> Iterator[MakeApp]:
    """A function that creates an app with tables, users and settings."""
    apps: list[Flask] = []

    def make(**config: object) -> Flask:
        app = create_app(config)
        apps.append(app)
        init_db(app)
        with app.app_context():
            seed_users()
        return app

    yield make
    for app in apps:
        with app.app_context():
            db.engine.dispose()


@pytest.fixture
def app(make_app: MakeApp) -> Flask:
    """An app that analyses up to six résumés in the request, and warns above twelve."""
    return make_app(SCREENER_REQUEST_LIMIT=6, SCREENER_RESUME_LIMIT=12)


@pytest.fixture
def sign_in() -> Iterator[SignIn]:
    """A function that serves an app, signs a user in, and returns the client."""
    with ExitStack() as stack:

        def start(app: Flask, email: str = USER_EMAIL) -> ScreenerClient:
            client = ScreenerClient(stack.enter_context(served(app)), timeout=300)
            stack.callback(client.close)
            client.login(email, PASSWORD)
            return client

        yield start


@pytest.fixture
def user(app: Flask, sign_in: SignIn) -> ScreenerClient:
    """A user signed in to `app`."""
    return sign_in(app)


@pytest.fixture
def admin(app: Flask, sign_in: SignIn) -> ScreenerClient:
    """An admin signed in to `app`."""
    return sign_in(app, ADMIN_EMAIL)


@pytest.fixture
def draft(user: ScreenerClient) -> int:
    """A draft with a job description."""
    number = user.create_draft("Senior Backend Engineer")
    user.upload_jd(number, "jd.txt", JD.encode())
    return number
