"""Secrets are never printed, whatever characters they hold and wherever they are configured."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from urllib.parse import quote

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.sql.database.drivers import usable
from telemetry._internal.guard import guarded, raise_internal_errors
from telemetry._internal.urls import secrets
from telemetry._internal.urls.secrets import remember, without_secrets
from telemetry.settings import Settings, SettingsError
from tests import fresh
from tests.choice import examples, first_of

PIECES = ("Tr0ub", "4dour", "Hors3")
"""The parts of which passwords are made here; none of them may be printed."""
UNREACHABLE = "127.0.0.1:1"
"""An address where nothing listens."""
PASSWORDS = [f"Tr0ub{mark}4dour{mark}Hors3" for mark in ("/", "#", "?", "@", ":%")]

marks = st.sampled_from(
    ["/", "#", "?", "@", ":", "%", "%40", "%2F", "&", "=", " ", "+", "'", '"', "[", "]", "\\", "."]
)
ends = st.lists(marks, max_size=2).map("".join)
one, two, three = map(st.just, PIECES)
passwords = st.tuples(one, marks, two, marks, three, ends).map("".join)


def assert_not_printed(*texts: str) -> None:
    for text in texts:
        assert not [piece for piece in PIECES if piece in text], text


@given(passwords)
@settings(max_examples=examples(300), deadline=None)
def test_any_password_is_masked(password: str) -> None:
    """In URLs, in messages of SQLAlchemy and the driver, and in our own errors."""
    url = f"postgresql://ada:{password}@{UNREACHABLE}/app"
    loaded = Settings(database_url=url)
    texts = [repr(loaded), loaded.database(), loaded.spool_key(), without_secrets(f"cannot use {url}: no")]
    try:
        target = usable(url)
    except (ValueError, ImportError) as error:
        texts.append(str(error))
    else:
        assert str(target.password) == sa.make_url(url).password, (
            "SQLAlchemy still connects with the real password"
        )
        texts.append(without_secrets(repr(target)))
        try:
            with sa.create_engine(target, poolclass=sa.NullPool).connect():
                raise AssertionError("nothing listens there")
        except sa.exc.OperationalError as error:
            texts.append(secrets.driver_message(error))
    assert_not_printed(*texts)


@given(passwords)
@settings(max_examples=examples(100), deadline=None)
def test_parts_of_a_password_are_masked(password: str) -> None:
    """`urllib` and libpq quote a part when they take it for a port or an option."""
    remember(f"postgresql://ada:{password}@db/app", f"postgresql://ada@db/app?password={quote(password)}")
    for piece in (*PIECES, password, quote(password, safe=""), repr(password)):
        assert_not_printed(without_secrets(f"Port could not be cast to integer value as '{piece}'"))


@pytest.mark.parametrize(
    "text",
    [
        "postgresql+psycopg://ada:Tr0ub@db/app",
        "at amqp://ada:Tr0ub/4dour#Hors3@db/app, and so on",
        "https://Tr0ub4dourHors3@sentry.example/1",
        "password=Tr0ub4dourHors3 host=db",
        "postgresql://db/app?options=-cmyapp.api_token%3DTr0ub4dour%20-csearch_path%3Dtenant",
        "options: -c myapp.secret=Tr0ub4dour",
        "connection to db?user=a&password=Tr0ub&sslpassword=4dour&application_name=x failed",
        "Authorization: Bearer Tr0ub4dourHors3",
        "api-key='Tr0ub 4dour Hors3'",
    ],
)
def test_text_that_looks_like_a_secret_is_masked(text: str) -> None:
    """The secret need not have been configured."""
    assert_not_printed(without_secrets(text))


@pytest.mark.parametrize(
    "text",
    [
        'connection to server at "127.0.0.1" failed: FATAL: password authentication failed for user "ada"',
        "it is at http://localhost:9090/graph, see docs@example.com",
        "no such file: /home/ada/app.sqlite",
    ],
)
def test_other_text_is_not_masked(text: str) -> None:
    """An operator can still read what is wrong."""
    assert without_secrets(text) == text


def test_otlp_settings_are_masked(monkeypatch: pytest.MonkeyPatch) -> None:
    """The values of headers, and passwords in the endpoint."""
    monkeypatch.setenv(
        "OTEL_EXPORTER_OTLP_TRACES_HEADERS", "x-team=Tr0ub4dour,authorization=Basic%20Hors3Hors3"
    )
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://ada:Tr0ub/4dour@collector:4318")

    assert_not_printed(without_secrets("bad header Tr0ub4dour, Basic Hors3Hors3, port 'Tr0ub' of 4dour"))


def test_log_lines_and_tracebacks_are_masked(caplog: pytest.LogCaptureFixture) -> None:
    """This covers our logger at every level, DEBUG included."""
    remember("postgresql://ada:Tr0ub/4dour?Hors3@db/app")
    caplog.set_level(logging.DEBUG, "telemetry")
    logging.getLogger("telemetry").error("cannot use %s", "Tr0ub/4dour?Hors3")
    before = raise_internal_errors(False)
    try:
        with guarded("test"):
            raise ValueError("invalid port 'Tr0ub'")
    finally:
        raise_internal_errors(before)

    assert "ValueError" in caplog.text and "Traceback" in caplog.text
    assert_not_printed(caplog.text)


@pytest.mark.parametrize(
    "name", ["TELEMETRY_ALERTMANAGER_URL", "TELEMETRY_PROMETHEUS_URL", "TELEMETRY_NOTIFY"]
)
def test_error_about_a_setting_hides_its_value(name: str) -> None:
    """It names the setting only."""
    with pytest.raises(SettingsError) as caught:
        Settings.load({name: "ht!tp://ada:Tr0ub/4dour@Hors3"})
    assert name in str(caught.value)
    assert_not_printed(str(caught.value))


COMMANDS = [
    *(["doctor"], ["doctor", "--no-run", "--json"]),
    *(["spool", "recover"], ["spool", "list"], ["spool", "retry"]),
    *(["db", "upgrade"], ["db", "current"], ["validate"], ["report"], ["insights"]),
]


@pytest.mark.parametrize(
    "password",
    first_of(PASSWORDS, "any password is tried where the texts are made"),
    ids=range(len(PASSWORDS)),
)
def test_no_command_prints_a_password(password: str, tmp_path: Path) -> None:
    """Neither for an unreachable database nor for a URL that is malformed."""
    environment = {
        "TELEMETRY_SPOOL_DIR": str(tmp_path / "spool"),
        "OTEL_EXPORTER_OTLP_HEADERS": "authorization=Basic Hors3Hors3",
    }
    code = "import sys, json; from tests.telemetry.test_secrets import run_all; run_all()"
    for url in (
        f"postgresql://ada:{password}@{UNREACHABLE}/app",
        f"postgresql://ada:{password}",
        f"postgresql://{UNREACHABLE}/app?password={password}",
    ):
        env = {**os.environ, **environment, "TELEMETRY_DATABASE_URL": url}
        done = fresh.run("-c", code, cwd=Path(__file__).parents[2], env=env)
        assert done.returncode == 0, done.stderr
        assert_not_printed(done.stdout, done.stderr)


def run_all() -> None:
    """Call every command that prints something of the database, as an operator would."""
    from click.testing import CliRunner

    from telemetry.cli.group import cli

    logging.basicConfig(level=logging.DEBUG)
    for words in COMMANDS:
        done = CliRunner().invoke(cli, words)
        print(words, done.output, done.exception)
