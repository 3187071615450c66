"""The download of jobs: for admins only, filtered as they ask, and never a file that ends in an error."""

from __future__ import annotations

import csv
import io
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from functools import wraps
from pathlib import Path
from typing import Any

import flask
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import telemetry
from exporters.sql.schema import migrate
from exporters.sql.schema.tables import runs, stage_usage
from telemetry.cli.group import cli
from telemetry.settings import Settings
from telemetry.web.export_view import FIELDS, TYPES, blueprint
from telemetry.web.extension import Telemetry


def admins_only(view: Callable[..., Any]) -> Callable[..., Any]:
    """Admit admins only, as a host's own decorator does."""

    @wraps(view)
    def guarded(*args: Any, **known: Any) -> Any:
        role = flask.request.headers.get("Role")
        if role is None:
            return flask.Response("Who are you?", 401)
        return view(*args, **known) if role == "admin" else flask.Response("Not you.", 403)

    return guarded


@pytest.fixture
def url(tmp_path: Path) -> str:
    """A database with three jobs: now, a week ago, and a large one two months ago."""
    url = f"sqlite:///{tmp_path}/host.sqlite"
    migrate.upgrade(url, with_base_tables=True)
    rows = [
        {
            "run_id": f"{number:032x}",
            "kind": "analysis",
            "source": "spans",
            "synthetic": False,
            "version": 1,
            "status": "completed",
            "started_at": datetime.now(UTC).replace(tzinfo=None) - timedelta(days=ago),
            "candidates": candidates,
            "cost_complete": True,
        }
        for number, (ago, candidates) in enumerate([(0, 5), (7, 5), (60, 200)])
    ]
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as connection:
        connection.execute(sa.insert(runs), rows)
        connection.execute(sa.update(runs).where(runs.c.candidates == 200).values(user_ref=7))
        usage = {"run_id": f"{0:032x}", "stage": "ranking", "operation": "chat", "model": "gpt-4o-mini"}
        connection.execute(sa.insert(stage_usage), [usage | {"cost_pico": 5}])
    return url


@pytest.fixture
def client(url: str, tmp_path: Path) -> Iterator[Any]:
    app = flask.Flask("host")
    app.config.update(SECRET_KEY="k", TELEMETRY_DATABASE_URL=url, TELEMETRY_SPOOL_DIR=tmp_path / "spool")
    Telemetry(app, admin_required=admins_only)
    yield app.test_client()
    telemetry.shutdown()


def get(client: Any, query: str = "", form: str = "json", role: str | None = "admin") -> Any:
    headers = {} if role is None else {"Role": role}
    return client.get(f"/admin/analytics/export/{form}?{query}", headers=headers)


@pytest.mark.parametrize(("role", "status"), [(None, 401), ("user", 403), ("admin", 200)])
def test_only_admins_may_download(client: Any, role: str | None, status: int) -> None:
    """The application's own decorator decides, and its responses are passed on."""
    assert get(client, role=role).status_code == status


def test_without_a_decorator_there_is_no_such_page(url: str, tmp_path: Path) -> None:
    """Without `admin_required=` the route does not exist."""
    app = flask.Flask("host")
    app.config.update(SECRET_KEY="k", TELEMETRY_DATABASE_URL=url, TELEMETRY_SPOOL_DIR=tmp_path / "spool")
    Telemetry(app)
    assert get(app.test_client()).status_code == 404
    telemetry.shutdown()


@pytest.mark.parametrize(
    ("query", "jobs"),
    [
        ("", 3),
        ("days=1", 1),
        ("days=30", 2),
        ("days=00000000030", 2),
        ("days=365&batch_size=large", 1),
        ("segment=power", 0),
        ("from={}", 2),
        ("to={}", 1),
        ("user=7", 1),
        ("user=8", 0),
        ("user=all&model=all", 3),
        ("model=gpt-4o-mini", 1),
        ("model=", 0),
    ],
)
def test_jobs_can_be_filtered(client: Any, query: str, jobs: int) -> None:
    """By days, by instants as Grafana passes them, by segment, batch size, user and model."""
    eight_days_ago = datetime.now(UTC) - timedelta(days=8)
    assert len(get(client, query.format(int(eight_days_ago.timestamp() * 1000))).json) == jobs


def test_download_as_csv(client: Any) -> None:
    """It is streamed, has a file name, and is not cached."""
    response = get(client, form="csv")
    assert response.content_type == "text/csv; charset=utf-8"
    assert response.headers["Content-Disposition"].startswith('attachment; filename="analyses-20')
    assert response.headers["Cache-Control"] == "no-store"
    assert response.is_streamed
    assert len(list(csv.DictReader(io.StringIO(response.text)))) == 3


def test_download_as_parquet(client: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is the file that the command writes; without the extra the answer is 501 and names it."""
    response = get(client, form="parquet")
    assert response.content_type == "application/vnd.apache.parquet"
    assert response.headers["Content-Disposition"].endswith('.parquet"')
    assert response.is_streamed
    assert pq.read_table(io.BytesIO(response.data)).num_rows == 3

    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    refused = get(client, form="parquet")
    assert refused.status_code == 501
    assert refused.json["field"] == "format"
    assert "analysis-telemetry[parquet]" in refused.json["error"]


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("days=0", "days"),
        ("days=-1", "days"),
        ("days=ten", "days"),
        ("days=²", "days"),
        ("days=99999999999999999999", "days"),
        ("days=00000000199999999999", "days"),
        ("days=000000000", "days"),
        (f"days={'9' * 5000}", "days"),
        ("days=3&from=0", "days"),
        ("from=yesterday", "from"),
        ("to=99999999999999999999", "to"),
        ("segment=rich", "segment"),
        ("batch_size=", "batch_size"),
        ("user=", "user"),
        ("user=me", "user"),
        (f"user={'9' * 19}", "user"),
        ("with_emails=true", "with_emails"),
    ],
)
def test_unusable_query_is_refused(client: Any, query: str, field: str) -> None:
    """The answer is 400, with JSON that names the field."""
    response = get(client, query)
    assert (response.status_code, response.json["field"]) == (400, field)
    assert response.json["error"].startswith(f"{field} ")


def test_unknown_format_is_refused(client: Any) -> None:
    """The answer is 404, and lists the formats that exist."""
    response = get(client, form="xlsx")
    assert (response.status_code, response.json["error"]) == (
        404,
        "format must be one of csv, json, jsonl, parquet",
    )


@pytest.mark.parametrize("form", list(TYPES))
@pytest.mark.parametrize("without_views", [False, True])
def test_unusable_database_is_reported_before_any_output(
    client: Any, url: str, tmp_path: Path, form: str, without_views: bool
) -> None:
    """The view answers 503, and the command prints nothing to a pipe, if the file or the view is missing."""
    if without_views:
        engine = sa.create_engine(url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            connection.exec_driver_sql("DROP VIEW telemetry_jobs")
    else:
        (tmp_path / "host.sqlite").write_text("this is no database")
    response = get(client, form=form)
    assert (response.status_code, response.json["field"]) == (503, "database")

    piped = CliRunner().invoke(cli, ["export", "--format", form], env={"TELEMETRY_DATABASE_URL": url})
    assert (piped.exit_code, piped.stdout_bytes) == (1, b"")
    assert piped.stderr.startswith("Error: the database cannot be used: ")


words = st.text(max_size=8) | st.sampled_from(["1", "30", "all", "new", "large", "0"])


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.dictionaries(st.sampled_from([*FIELDS, "x"]) | words, words))
def test_any_query_is_answered_or_refused(client: Any, query: dict[str, str]) -> None:
    """No query string makes the view fail."""
    response = client.get("/admin/analytics/export/json", query_string=query, headers={"Role": "admin"})
    assert response.status_code in (200, 400)


def test_unusable_database_url_is_reported() -> None:
    """The request is not at fault: the answer is 503, with the reason."""
    app = flask.Flask("host")
    app.register_blueprint(blueprint(lambda: Settings(database_url="no-such-database:///x"), admins_only))
    response = app.test_client().get("/admin/analytics/export/csv", headers={"Role": "admin"})

    assert response.status_code == 503
    assert response.json is not None and response.json["field"] == "database"
    assert response.json["error"].startswith("database cannot be used: ")
