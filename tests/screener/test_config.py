"""Settings of the screener from the environment."""

from __future__ import annotations

import pytest

from examples.screener.config import Settings


def test_settings_come_from_the_environment() -> None:
    """Each setting has a variable and a default."""
    settings = Settings.load({"SCREENER_REQUEST_LIMIT": "7", "SCREENER_DATABASE_URL": "sqlite:///x"})
    assert (settings.request_limit, settings.database_url) == (7, "sqlite:///x")
    assert (settings.resume_limit, settings.chat_model) == (200, "gpt-4o-mini")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SCREENER_REQUEST_LIMIT", "many"),
        ("SCREENER_CONCURRENCY", "0"),
        ("SCREENER_RESUME_LIMIT", "-1"),
        ("SCREENER_RETRY_PAUSE", "soon"),
    ],
)
def test_invalid_setting_is_named(name: str, value: str) -> None:
    """An invalid value prevents the start with an error that names the variable and the value."""
    with pytest.raises(ValueError, match=f"{name} must be .*{value}"):
        Settings.load({name: value})
