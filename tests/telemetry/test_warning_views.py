"""Warnings over HTTP: each user records and answers only their own, by the application's own login."""

from __future__ import annotations

import io
import json
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import flask
import pytest
import sqlalchemy as sa
from flask_login import LoginManager, UserMixin, login_user  # type: ignore[import-untyped]
from flask_wtf.csrf import CSRFProtect, generate_csrf  # type: ignore[import-untyped]
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import telemetry
from exporters.sql.schema import migrate
from telemetry.conventions import WARNINGS
from telemetry.setup.process import pipeline
from telemetry.web.extension import Telemetry
from tests.choice import examples


class Host:
    """An application with two users, and its database."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.url = f"sqlite:///{folder}/host.sqlite"
        migrate.upgrade(self.url, with_base_tables=True)
        for user in (1, 2):
            self.execute(
                "INSERT INTO users (id, email, password_hash, name, created_at)"
                f" VALUES ({user}, '{user}@example.com', 'x', 'n', '2026-01-01')"
            )
        self.app = flask.Flask("host")
        self.app.config.update(
            SECRET_KEY="k",
            TELEMETRY_DATABASE_URL=self.url,
            TELEMETRY_SPOOL_DIR=folder / "spool",
            TELEMETRY_WARNINGS_PER_DAY=5,
        )
        Telemetry(self.app, track_warnings=True, **options)
        self.client = self.app.test_client()

    def execute(self, statement: str) -> None:
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.execute(sa.text(statement))

    def rows(self) -> list[dict[str, Any]]:
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            query = sa.text("SELECT * FROM document_warnings ORDER BY id")
            return [dict(row) for row in connection.execute(query).mappings()]

    def post(self, fields: Any, user: int | None = 1, **known: Any) -> Any:
        return self._send(self.client.post, "/api/track-warning", fields, user, **known)

    def patch(self, warning_id: int, fields: Any, user: int | None = 1) -> Any:
        return self._send(self.client.patch, f"/api/track-warning/{warning_id}", fields, user)

    def _send(self, method: Any, path: str, fields: Any, user: int | None, **known: Any) -> Any:
        headers = {} if user is None else {"User": str(user)}
        data = fields if isinstance(fields, str | bytes) else json.dumps(fields)
        return method(path, data=data, headers=headers, **{"content_type": "application/json"} | known)


def user_of_header() -> int | None:
    value = flask.request.headers.get("User")
    return None if value is None else int(value)


@pytest.fixture
def host(tmp_path: Path) -> Iterator[Host]:
    yield Host(tmp_path, current_user_id=user_of_header)
    telemetry.shutdown()


SHOWN = {"warning_type": "batch_too_large", "document_count": 250, "limit": 200}


def counts() -> Counter[tuple[str, str]]:
    """The warnings counted so far, by type and action."""
    running: Any = pipeline()
    totals = running.metrics.totals.read(WARNINGS)
    return Counter({(labels["type"], labels["action"]): count for labels, count in totals})


def test_warning_is_recorded_and_then_answered(host: Host) -> None:
    """The answer names the warning by the id that the first request returned."""
    shown = host.post(SHOWN | {"document_size": 9_000_000, "subject": "draft/12"})
    assert (shown.status_code, shown.json) == (200, {"status": "tracked", "warning_id": 1})
    answered = host.patch(1, {"user_action": "override"})
    assert (answered.status_code, answered.json) == (200, {"status": "tracked", "warning_id": 1})

    (row,) = host.rows()
    assert (row["user_id"], row["warning_type"], row["user_action"]) == (1, "batch_too_large", "override")
    assert (row["document_count"], row["document_size"], row["subject"]) == (250, 9_000_000, "draft/12")
    assert json.loads(row["additional_data"]) == {"limit": 200}
    now = datetime.now(UTC).replace(tzinfo=None)
    assert abs(datetime.fromisoformat(row["warning_shown_at"]) - now) < timedelta(minutes=10)


def test_the_first_answer_stands(host: Host) -> None:
    """Only `abandoned`, which no user chose, is replaced by a later answer."""
    host.post(SHOWN)
    host.patch(1, {"user_action": "abandoned"})
    host.patch(1, {"user_action": "reduced_batch"})
    assert host.patch(1, {"user_action": "override"}).status_code == 200
    assert host.rows()[0]["user_action"] == "reduced_batch"


def test_showing_and_answering_are_counted(host: Host) -> None:
    """By type and action; all label combinations exist from the start."""
    before = counts()
    host.post(SHOWN)
    host.patch(1, {"user_action": "continued"})
    assert counts() - before == {("batch_too_large", "shown"): 1, ("batch_too_large", "continued"): 1}
    assert ("jd_too_long", "shown") in before


def test_an_answer_that_changes_nothing_is_not_counted(host: Host) -> None:
    """An answer that is repeated or comes too late still gets status 200."""
    before = counts()
    host.post(SHOWN)
    for action in ("abandoned", "abandoned", "override", "override", "continued"):
        assert host.patch(1, {"user_action": action}).status_code == 200
    assert counts() - before == {
        ("batch_too_large", action): 1 for action in ("shown", "abandoned", "override")
    }


def test_signed_out_users_are_refused(host: Host) -> None:
    """The answer is 401, and nothing is recorded."""
    assert host.post(SHOWN, user=None).status_code == 401
    host.post(SHOWN)
    assert host.patch(1, {"user_action": "override"}, user=None).status_code == 401
    assert [row["user_action"] for row in host.rows()] == [None]


@pytest.mark.parametrize("warning_id", [1, 77, 2**31, 2**63])
def test_warning_of_another_user_is_not_found(host: Host, warning_id: int) -> None:
    """The answer is 404, as for a warning that does not exist."""
    host.post(SHOWN)
    answer = host.patch(warning_id, {"user_action": "override"}, user=2)
    assert (answer.status_code, answer.json["field"]) == (404, "warning_id")
    assert host.rows()[0]["user_action"] is None


@pytest.mark.parametrize(
    ("fields", "field"),
    [
        ({}, "warning_type"),
        ({"warning_type": "nonsense"}, "warning_type"),
        ({"warning_type": ["batch_too_large"]}, "warning_type"),
        (SHOWN | {"document_count": -1}, "document_count"),
        (SHOWN | {"document_count": 10**9}, "document_count"),
        (SHOWN | {"document_count": 1.5}, "document_count"),
        (SHOWN | {"document_count": True}, "document_count"),
        (SHOWN | {"document_count": "250"}, "document_count"),
        (SHOWN | {"document_size": 2**41}, "document_size"),
        (SHOWN | {"limit": -5}, "limit"),
        (SHOWN | {"subject": "x" * 256}, "subject"),
        (SHOWN | {"subject": 12}, "subject"),
        (SHOWN | {"subject": "a\nb"}, "subject"),
        (SHOWN | {"user_id": 2}, "user_id"),
        (SHOWN | {"additional_data": {}}, "additional_data"),
        ([SHOWN], "body"),
        ("{", "body"),
        ("", "body"),
        (b"\xff\xfe", "body"),
        ("[" * 4000, "body"),
    ],
)
def test_unusable_warning_is_refused(host: Host, fields: Any, field: str) -> None:
    """The answer is 400 with JSON that names the field, and no row is written."""
    answer = host.post(fields)
    assert (answer.status_code, answer.json["field"]) == (400, field)
    assert answer.json["error"].startswith(f"{field} ")
    assert host.rows() == []


@pytest.mark.parametrize("fields", [{}, {"user_action": "shrugged"}, {"user_action": None}, {"x": 1}, 5])
def test_unknown_answer_is_refused(host: Host, fields: Any) -> None:
    """The answer is 400, and the warning stays unanswered."""
    host.post(SHOWN)
    assert host.patch(1, fields).status_code == 400
    assert host.rows()[0]["user_action"] is None


def test_large_or_foreign_bodies_are_refused(host: Host) -> None:
    """413 above 4 KB, with a Content-Length or without; 415 for a content type that is not JSON."""
    large = json.dumps(SHOWN | {"subject": "x" * 5000})
    assert host.post(large).status_code == 413
    chunked = host.client.open(
        "/api/track-warning",
        method="POST",
        headers={"User": "1", "Transfer-Encoding": "chunked"},
        content_type="application/json",
        input_stream=io.BytesIO(large.encode()),
        environ_overrides={"wsgi.input_terminated": True},
    )
    assert chunked.status_code == 413
    for wrong in ("text/plain", "application/x-www-form-urlencoded", "application/xml"):
        assert host.post(SHOWN, content_type=wrong).status_code == 415
    assert host.rows() == []


def test_warnings_per_user_and_day_are_limited(host: Host) -> None:
    """Above the limit for 24 hours that user, and no other, gets 429; it is counted as refused."""
    before = counts()
    assert [host.post(SHOWN).status_code for _ in range(7)] == [200] * 5 + [429] * 2
    assert host.post(SHOWN, user=2).status_code == 200
    assert len(host.rows()) == 6
    assert (counts() - before)["batch_too_large", "refused"] == 2
    host.execute("UPDATE document_warnings SET warning_shown_at = '2026-01-01'")
    assert host.post(SHOWN).status_code == 200


def test_unusable_database_is_reported(host: Host, tmp_path: Path) -> None:
    """The answer is 503 with JSON, not an unhandled error."""
    (tmp_path / "host.sqlite").write_text("this is no database")
    answer = host.post(SHOWN)
    assert (answer.status_code, answer.json["field"]) == (503, "database")


def test_warning_views_are_off_by_default(tmp_path: Path) -> None:
    """The application may serve the same path itself."""
    app = flask.Flask("host")
    app.config.update(SECRET_KEY="k", TELEMETRY_SPOOL_DIR=tmp_path / "spool")
    app.add_url_rule("/api/track-warning", "own", lambda: "own", methods=["POST"])
    Telemetry(app)
    assert app.test_client().post("/api/track-warning").text == "own"
    telemetry.shutdown()


class Person(UserMixin):  # type: ignore[misc]
    """A user of Flask-Login's."""

    def __init__(self, id: int | str) -> None:
        self.id = id


def test_flask_login_and_csrf_protection_apply(tmp_path: Path) -> None:
    """The signed-in user is recorded, and the application's own CSRF protection applies."""
    host = Host(tmp_path)
    manager = LoginManager(host.app)
    manager.user_loader(lambda id: Person(int(id)))
    CSRFProtect(host.app)
    host.app.add_url_rule("/sign-in/<int:id>", "sign_in", lambda id: str(login_user(Person(id))))
    host.app.add_url_rule("/token", "token", generate_csrf)
    token = host.client.get("/token").text
    headers = {"X-CSRFToken": token}

    anonymous = host.client.post("/api/track-warning", json=SHOWN, headers=headers)
    host.client.get("/sign-in/2")
    unprotected = host.client.post("/api/track-warning", json=SHOWN)
    good = host.client.post("/api/track-warning", json=SHOWN, headers=headers)

    assert [answer.status_code for answer in (anonymous, unprotected, good)] == [401, 400, 200]
    assert [row["user_id"] for row in host.rows()] == [2]
    telemetry.shutdown()


@pytest.mark.parametrize("user_id", ["1", 1, "0001"])
def test_user_ids_may_be_digits(tmp_path: Path, user_id: Any) -> None:
    """Flask-Login returns ids as strings."""
    host = Host(tmp_path, current_user_id=lambda: user_id)
    assert host.post(SHOWN).status_code == 200
    assert [row["user_id"] for row in host.rows()] == [1]
    telemetry.shutdown()


@pytest.mark.parametrize("user_id", ["3f9a-token", "", "²", "-1", True, 1.5, 2**63, "9" * 5000, object()])
def test_unusable_user_id_is_a_fault_of_the_login(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, user_id: Any
) -> None:
    """The answer blames the login, not the database; the log names what to repair, but not the value."""
    host = Host(tmp_path, current_user_id=lambda: user_id)
    for answer in (host.post(SHOWN), host.patch(1, {"user_action": "override"})):
        assert (answer.status_code, answer.json["field"]) == (500, "login")
    lines = [record.getMessage() for record in caplog.records if record.name == "host"]
    assert (
        lines
        == [
            f"telemetry cannot record warnings: current_user_id= returned a {type(user_id).__name__}"
            " that is no id of a row of users"
        ]
        * 2
    )
    assert host.rows() == []
    telemetry.shutdown()


def test_failing_login_is_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An exception is a fault of the login; an HTTP error that the application raises is passed on."""

    def user() -> int:
        if "Teapot" in flask.request.headers:
            flask.abort(418)
        raise KeyError("session")

    host = Host(tmp_path, current_user_id=user)
    answer = host.post(SHOWN)
    assert (answer.status_code, answer.json["field"]) == (500, "login")
    assert "current_user_id= raised KeyError" in caplog.text
    assert host.client.post("/api/track-warning", headers={"Teapot": "1"}).status_code == 418
    telemetry.shutdown()


def test_alternative_ids_of_flask_login_need_a_function(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A token is no user id: the log asks for `current_user_id=`."""
    host = Host(tmp_path)
    manager = LoginManager(host.app)
    manager.user_loader(Person)
    host.app.add_url_rule("/sign-in", "sign_in", lambda: str(login_user(Person("a-token"))))
    host.client.get("/sign-in")
    answer: Any = host.client.post("/api/track-warning", json=SHOWN)
    assert (answer.status_code, answer.json["field"]) == (500, "login")
    assert "current_user_id=" in caplog.text
    telemetry.shutdown()


words = st.text(max_size=12) | st.sampled_from(["batch_too_large", "override", "draft/1", "x" * 300])
values = st.none() | st.booleans() | st.integers() | st.floats() | words | st.lists(st.integers(), max_size=3)
names = st.sampled_from(
    ["warning_type", "document_count", "document_size", "limit", "subject", "user_action"]
)


@settings(
    suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None, max_examples=examples(150)
)
@given(st.dictionaries(names | words, values, max_size=5), st.integers(-5, 2**70))
def test_any_request_is_answered_or_refused(host: Host, fields: dict[str, Any], warning_id: int) -> None:
    """No request makes the view fail, and a refused one writes no row."""
    before = len(host.rows())
    shown = host.post(fields)
    assert shown.status_code in (200, 400, 429)
    assert len(host.rows()) == before + (shown.status_code == 200)
    assert host.patch(warning_id, fields).status_code in (200, 400, 404)
    host.execute("DELETE FROM document_warnings")
