"""The log of an internal error says where it happened and how to see more, but no value of the host."""

from __future__ import annotations

import logging
import re

import pytest

from telemetry import settings
from telemetry._internal import context
from telemetry._internal.guard import guarded, internal_errors

pytestmark = pytest.mark.internal_errors

SECRET = "Jane Doe, jane@example.org"


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


def test_warning_names_function_type_and_place(caplog: pytest.LogCaptureFixture) -> None:
    """The place is the innermost line of telemetry in the traceback; the error's message is left out."""
    with guarded("api"):
        settings.Settings.load(environ={"TELEMETRY_TIMEZONE": SECRET})

    (line,) = warnings(caplog)
    assert re.fullmatch(
        r"telemetry api failed in Settings\.load\(\) \(SettingsError at telemetry\.settings:[0-9]+\);"
        r" the application is not affected; logger telemetry shows the traceback at level DEBUG",
        line,
    )
    assert SECRET not in caplog.text


def test_decorated_function_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """It is named even if the call itself is wrong, so that no line of it ran."""

    @guarded("recorder")
    def keep(run: object) -> None:
        raise KeyError(run)

    keep()  # type: ignore[call-arg]

    (line,) = warnings(caplog)
    assert line.startswith(
        "telemetry recorder failed in test_decorated_function_is_named.keep() (TypeError at its call);"
    )


def test_error_in_a_library_is_placed_at_our_call(caplog: pytest.LogCaptureFixture) -> None:
    """The place is the line of telemetry that called the library."""
    with guarded("spool"):
        context.stage_in(7)  # type: ignore[arg-type]

    (line,) = warnings(caplog)
    assert "in stage_in() (" in line
    assert " at telemetry._internal.context:" in line


def test_traceback_is_logged_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """The warning refers to it."""
    with caplog.at_level(logging.DEBUG, "telemetry"), guarded("metrics"):
        context.stage_in(7)  # type: ignore[arg-type]

    debug_records = [record for record in caplog.records if record.levelno == logging.DEBUG]
    assert [record.exc_info is not None for record in debug_records] == [True]


def test_repeated_errors_are_logged_once_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    """All of them are counted."""
    for _ in range(3):
        with guarded("api"):
            raise ValueError(SECRET)

    assert len(warnings(caplog)) == 1
    assert internal_errors() == {"api": 3}
