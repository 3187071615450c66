"""The settings of the screener, read once from the environment (or from values that a test passes)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from flask import current_app

DEVELOPMENT_KEY = "screener-development-key"
"""Signs sessions when no SECRET_KEY is set; for development only."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """All settings with their defaults; the text below each begins with its environment variable."""

    database_url: str
    """SCREENER_DATABASE_URL: a SQLAlchemy URL; by default screener.sqlite in the working directory."""
    secret_key: str = DEVELOPMENT_KEY
    """SECRET_KEY: signs sessions and CSRF tokens; the same in every process."""
    request_limit: int = 20
    """SCREENER_REQUEST_LIMIT: most résumés that are analysed within the request; more go to the worker."""
    resume_limit: int = 200
    """SCREENER_RESUME_LIMIT: number of résumés above which the user must confirm "analyse anyway"."""
    concurrency: int = 16
    """SCREENER_CONCURRENCY: concurrent calls to OpenAI, per analysis."""
    app_retries: int = 3
    """SCREENER_APP_RETRIES: how often a call is repeated after the client's own retries are used up."""
    retry_pause: float = 0.5
    """SCREENER_RETRY_PAUSE: seconds before the first of these repeats; doubled each time."""
    insights: int = 3
    """SCREENER_INSIGHTS: number of the best candidates that get an insight with the analysis itself."""
    chat_model: str = "gpt-4o-mini"
    """SCREENER_CHAT_MODEL: answers criteria, names, ratings and insights."""
    embedding_model: str = "text-embedding-3-small"
    """SCREENER_EMBEDDING_MODEL: turns texts into vectors."""

    @classmethod
    def load(cls, values: Mapping[str, object]) -> Settings:
        """Read the settings from `values`, a mapping with the names of the environment variables.

        Raises:
            ValueError: a number is not one; the message names the variable.
        """
        return cls(
            database_url=str(values.get("SCREENER_DATABASE_URL") or _default_database_url()),
            secret_key=str(values.get("SECRET_KEY") or DEVELOPMENT_KEY),
            request_limit=_whole(values, "SCREENER_REQUEST_LIMIT", cls.request_limit),
            resume_limit=_whole(values, "SCREENER_RESUME_LIMIT", cls.resume_limit),
            concurrency=_whole(values, "SCREENER_CONCURRENCY", cls.concurrency, least=1),
            app_retries=_whole(values, "SCREENER_APP_RETRIES", cls.app_retries),
            retry_pause=_seconds(values, "SCREENER_RETRY_PAUSE", cls.retry_pause),
            insights=_whole(values, "SCREENER_INSIGHTS", cls.insights),
            chat_model=str(values.get("SCREENER_CHAT_MODEL") or cls.chat_model),
            embedding_model=str(values.get("SCREENER_EMBEDDING_MODEL") or cls.embedding_model),
        )


def settings() -> Settings:
    """Return the settings of the current app."""
    found: Settings = current_app.extensions["screener"]
    return found


def _default_database_url() -> str:
    return f"sqlite:///{Path('screener.sqlite').resolve()}"


def _whole(values: Mapping[str, object], name: str, default: int, least: int = 0) -> int:
    given = str(values.get(name, default))
    if not given.isdecimal() or int(given) < least:
        raise ValueError(f"{name} must be a whole number of at least {least}, not {given!r}")
    return int(given)


def _seconds(values: Mapping[str, object], name: str, default: float) -> float:
    given = str(values.get(name, default))
    try:
        seconds = float(given)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds < 3600:
        raise ValueError(f"{name} must be a number of seconds between 0 and 3600, not {given!r}")
    return seconds
