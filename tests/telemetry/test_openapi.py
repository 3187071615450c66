"""The endpoints answer as docs/reference/openapi.yaml says, whatever is sent and whoever sends it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import flask
import pytest
import schemathesis
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.config import SchemathesisConfig
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

import telemetry
from exporters.sql.schema import migrate
from exporters.sql.schema.tables import runs
from telemetry.web.extension import Telemetry
from tests.choice import examples

DESCRIPTION = Path(__file__).parents[2] / "docs" / "reference" / "openapi.yaml"
PEOPLE: dict[str, dict[str, str]] = {
    "anonymous": {},
    "user": {"User": "1", "Role": "user"},
    "admin": {"User": "2", "Role": "admin"},
}
"""The headers by which the application knows each of them."""
STATUSES: dict[str, dict[str, set[int]]] = {
    "anonymous": {"shown": {401}, "answered": {401, 404}, "export": {401, 404}},
    "user": {"shown": {200, 400, 413, 415}, "answered": {200, 400, 404, 413, 415}, "export": {403, 404}},
    "admin": {
        "shown": {200, 400, 413, 415},
        "answered": {200, 400, 404, 413, 415},
        "export": {200, 400, 404},
    },
}
"""The statuses that each may receive, by operation; 404 for paths that match no endpoint."""

OPERATIONS = [
    (path, method)
    for path, operations in schemathesis.openapi.from_path(DESCRIPTION).raw_schema["paths"].items()
    for method in operations
]


def user_of_header() -> int | None:
    value = flask.request.headers.get("User")
    return int(value) if value else None


def admins_only(view: Any) -> Any:
    def guarded(*args: Any, **known: Any) -> Any:
        role = flask.request.headers.get("Role")
        if role != "admin":
            return flask.Response("Not you.", 403 if role else 401)
        return view(*args, **known)

    return guarded


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A database with two users, an analysis, and a warning of the first user."""
    url = f"sqlite:///{tmp_path_factory.mktemp('host')}/host.sqlite"
    migrate.upgrade(url, with_base_tables=True)
    known = {"kind": "analysis", "source": "spans", "synthetic": False, "version": 1, "cost_complete": True}
    now = datetime.now(UTC).replace(tzinfo=None)
    run = {"run_id": "1", "status": "completed", "started_at": now, **known}
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        for user in (1, 2):
            connection.exec_driver_sql(
                "INSERT INTO users (id, email, password_hash, name, created_at)"
                f" VALUES ({user}, '{user}@example.com', 'x', 'n', '2026-01-01')"
            )
        connection.execute(sa.insert(runs), [run])
        connection.exec_driver_sql(
            "INSERT INTO document_warnings (id, user_id, warning_type) VALUES (1, 1, 'jd_too_long')"
        )
    return url


@pytest.fixture(scope="module")
def app(database: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[flask.Flask]:
    telemetry.shutdown()  # in case an earlier module left it set up
    app = flask.Flask("host")
    app.config.update(
        SECRET_KEY="k",
        TELEMETRY_DATABASE_URL=database,
        TELEMETRY_SPOOL_DIR=tmp_path_factory.mktemp("spool"),
        TELEMETRY_WARNINGS_PER_DAY=1_000_000,
    )
    Telemetry(app, admin_required=admins_only, track_warnings=True, current_user_id=user_of_header)
    app.add_url_rule("/openapi.yaml", "description", DESCRIPTION.read_text)
    yield app
    telemetry.shutdown()


@pytest.fixture(scope="module")
def api(app: flask.Flask) -> Any:
    refusals = {"expected-statuses": [400, 401, 403, 404, 413, 415]}  # 413 is missing in the default
    config = SchemathesisConfig.from_dict({"checks": {"negative_data_rejection": refusals}})
    return schemathesis.openapi.from_wsgi("/openapi.yaml", app, config=config)


def warnings(database: str) -> list[Any]:
    engine = sa.create_engine(database, poolclass=sa.NullPool)
    with engine.connect() as connection:
        return list(connection.execute(sa.text("SELECT * FROM document_warnings ORDER BY id")))


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
@pytest.mark.parametrize("mode", schemathesis.GenerationMode)
def test_every_response_is_as_described(
    api: Any, database: str, mode: schemathesis.GenerationMode, path: str, method: str, person: str
) -> None:
    """There is no server error, a refused request writes nothing, and each user has their own rights."""
    operation = api[path][method]
    name = operation.definition.raw["operationId"]
    seen: set[int] = set()

    @settings(max_examples=examples(50), deadline=None, suppress_health_check=list(HealthCheck))
    @given(operation.as_strategy(generation_mode=mode))
    def answered(case: schemathesis.Case[Any]) -> None:
        before = warnings(database)
        case.headers.update(PEOPLE[person])
        response = case.call()
        # No schema can say that a subject must be printable; the test itself checks authentication.
        case.validate_response(response, excluded_checks=[positive_data_acceptance, ignored_auth])
        seen.add(response.status_code)
        if response.status_code != 200:
            assert warnings(database) == before

    answered()
    assert seen <= STATUSES[person][name]
    if mode is schemathesis.GenerationMode.POSITIVE:
        assert (200 in seen) == (200 in STATUSES[person][name]) or name == "answered"


hostile = st.text(st.characters(max_codepoint=255, exclude_characters="\r\n"), max_size=40)
odd = st.sampled_from(
    [
        *("", "-1", "0", "99999999999999999999", "chunked", "gzip", "bytes=0-0", "*/*;q=x", "text/html"),
        *("application/json", "application/json; charset=utf-16", "multipart/form-data; boundary=\xff"),
        *("../../etc/passwd", "' OR 1=1 --", "{{7*7}}", "=cmd|' /C calc'!A0", "a" * 5000),
    ]
)
header_names = st.sampled_from(
    [
        *(
            "Accept",
            "Accept-Encoding",
            "Accept-Language",
            "Authorization",
            "Content-Encoding",
            "Content-Type",
        ),
        *("Content-Length", "Cookie", "Expect", "Forwarded", "Host", "If-Modified-Since", "If-None-Match"),
        *("Origin", "Range", "Referer", "Transfer-Encoding", "User-Agent", "X-CSRFToken", "X-Forwarded-For"),
        *("X-Forwarded-Proto", "X-HTTP-Method-Override", "traceparent", "tracestate", "baggage"),
    ]
)
bodies = st.binary(max_size=60) | st.sampled_from(
    [b'{"warning_type": "jd_too_long"}', b'{"user_action": "override"}', b"[" * 4000, b"{" + b" " * 5000]
)


@pytest.mark.parametrize("person", PEOPLE)
@pytest.mark.parametrize(("path", "method"), OPERATIONS)
def test_hostile_headers_and_bodies_are_answered(
    app: flask.Flask, database: str, path: str, method: str, person: str
) -> None:
    """Any headers and any body get a response below 500, and a refused request writes no row."""
    address = path.replace("{warning_id}", "1").replace("{form}", "csv")

    @settings(max_examples=examples(100), deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.dictionaries(header_names, odd | hostile, max_size=6), bodies)
    def answered(headers: dict[str, str], body: bytes) -> None:
        before = warnings(database)
        known = {"Content-Type": "application/json", **headers, **PEOPLE[person]}
        response = app.test_client().open(address, method=method.upper(), headers=known, data=body)
        assert response.status_code < 500
        assert response.get_data() is not None
        if response.status_code != 200:
            assert warnings(database) == before
        if person == "anonymous":
            assert response.status_code != 200

    answered()


def test_description_covers_exactly_the_endpoints(app: flask.Flask) -> None:
    """It has all of them, with their methods."""
    described = {(path, method.upper()) for path, method in OPERATIONS}
    actual = {
        (rule.rule.replace("<int:", "{").replace("<", "{").replace(">", "}"), method)
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.endpoint.startswith("telemetry_")
    }
    assert described == actual
