"""What is logged of an error of ours: where it happened, where to see more, nothing that was passed in."""

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


def test_a_line_names_the_function_the_type_and_the_place(caplog: pytest.LogCaptureFixture) -> None:
    """The place is the last one of ours on the way to the error; the error's text stays out."""
    with guarded("api"):
        settings.Settings.load(environ={"TELEMETRY_TIMEZONE": SECRET})

    (line,) = warnings(caplog)
    assert re.fullmatch(
        r"telemetry api failed in Settings\.load\(\) \(SettingsError at telemetry\.settings:[0-9]+\);"
        r" the application is not affected; logger telemetry shows the traceback at level DEBUG",
        line,
    )
    assert SECRET not in caplog.text


def test_a_decorated_function_is_named(caplog: pytest.LogCaptureFixture) -> None:
    """Also where the call itself is wrong, so that no line of the function ever ran."""

    @guarded("recorder")
    def keep(run: object) -> None:
        raise KeyError(run)

    keep()  # type: ignore[call-arg]

    (line,) = warnings(caplog)
    assert line.startswith(
        "telemetry recorder failed in test_a_decorated_function_is_named.keep() (TypeError at its call);"
    )


def test_an_error_from_below_is_placed_where_we_called(caplog: pytest.LogCaptureFixture) -> None:
    """What the standard library raises for us is found by the line of ours that called it."""
    with guarded("spool"):
        context.stage_in(7)  # type: ignore[arg-type]

    (line,) = warnings(caplog)
    assert "in stage_in() (" in line
    assert " at telemetry._internal.context:" in line


def test_the_traceback_is_there_at_debug(caplog: pytest.LogCaptureFixture) -> None:
    """As the line says."""
    with caplog.at_level(logging.DEBUG, "telemetry"), guarded("metrics"):
        context.stage_in(7)  # type: ignore[arg-type]

    shown = [record for record in caplog.records if record.levelno == logging.DEBUG]
    assert [record.exc_info is not None for record in shown] == [True]


def test_one_line_an_interval(caplog: pytest.LogCaptureFixture) -> None:
    """All are counted."""
    for _ in range(3):
        with guarded("api"):
            raise ValueError(SECRET)

    assert len(warnings(caplog)) == 1
    assert internal_errors() == {"api": 3}
