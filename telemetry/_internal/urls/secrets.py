"""Remove secrets from everything that is printed: log lines, errors, output of commands.

Secrets in use are known from the settings and the environment; anything else that looks like the password of
a URL, or is named like a secret, is removed too. In case of doubt, text is removed.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Iterator
from typing import Final
from urllib.parse import quote, quote_plus, unquote, unquote_plus

CUT: Final = "***"
SHORTEST: Final = 3
"""Shorter secrets are not removed: they occur in ordinary words and reveal little."""
SHORTEST_PIECE: Final = 4

_IN_URL: Final = re.compile(r"(?P<before>[A-Za-z][\w+.\-]*://(?P<user>[^\s:/@?#]*)):\S*@")
_TOKEN: Final = re.compile(r"(?P<before>https?://)[^\s/?#@:]+@")
_NAMED: Final = re.compile(
    r"(?P<before>\b[\w.\-]*(password|passwd|secret|token|api[_-]?key|authorization)[\w.\-]*"
    r"\s*(?:[=:]|%3[AaDd])\s*)"
    r"(?P<scheme>(basic|bearer)\s+)?('[^']*'|\"[^\"]*\"|(?!//)[^\s&'\",;]+)",
    re.IGNORECASE,
)
_PASSWORDS: Final = re.compile(r"://(?P<user>[^:/@]*):(?P<first>[^@]*)@")
_LONGEST_PASSWORD: Final = re.compile(r"://[^:/@]*:(?P<all>.*)@", re.DOTALL)
_IN_QUERY: Final = re.compile(r"[?&]\w*(?:password|passwd|secret|token)\w*=(?P<value>[^&]*)", re.IGNORECASE)
_IN_OPTIONS: Final = re.compile(
    r"-c\s*[\w.]*(?:password|passwd|secret|token)[\w.]*=(?P<value>(?:\\.|[^\s&\\])*)", re.IGNORECASE
)
"""Server settings of PostgreSQL in the ``options`` of a URL, quoted or not."""
_MOST: Final = 200
"""Limit of remembered URLs."""

_known: Final[dict[str, tuple[str, ...]]] = {}


def remember(*urls: str) -> None:
    """Remember the secrets of ``urls``, so that they are removed wherever they occur."""
    for url in urls:
        if url and url not in _known:
            while len(_known) >= _MOST:
                _known.pop(next(iter(_known)), None)
            _known[url] = tuple(_secrets_of(url))


def without_secrets(text: str) -> str:
    """Return ``text`` with secrets replaced by asterisks."""
    secrets = {secret for of_url in tuple(_known.values()) for secret in of_url}
    secrets.update(_of_environment())
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, CUT)
    text = _IN_URL.sub(rf"\g<before>:{CUT}@", text)
    text = _TOKEN.sub(rf"\g<before>{CUT}@", text)
    return _NAMED.sub(lambda match: f"{match['before']}{match['scheme'] or ''}{CUT}", text)


def driver_message(error: BaseException) -> str:
    """Return the first line of the driver's message; SQLAlchemy's own text contains the statement."""
    return without_secrets(next(iter(str(_cause(error)).strip().splitlines()), ""))


def driver_error(error: BaseException) -> str:
    """Return the type of the driver's error and the first line of its message."""
    return f"{type(_cause(error)).__name__}: {driver_message(error)}".strip(": ")


def _cause(error: BaseException) -> BaseException:
    return getattr(error, "orig", None) or error


def without_user(address: str) -> str:
    """Return the URL of a service without user and password."""
    return without_secrets(re.sub(r"://\S*@", "://", address))


class SecretsFilter(logging.Filter):
    """Removes secrets from the records of a logger, including tracebacks."""

    _formatter: Final = logging.Formatter()

    def filter(self, record: logging.LogRecord) -> bool:
        """Remove secrets from the record; every record passes."""
        text = record.getMessage()
        if (shown := without_secrets(text)) != text:
            record.msg, record.args = shown, ()
        if record.exc_info and record.exc_info[0] is not None:
            trace = self._formatter.formatException(record.exc_info)
            if (shown := without_secrets(trace)) != trace:
                record.exc_info, record.exc_text = None, shown
        return True


logging.getLogger("telemetry").addFilter(SecretsFilter())


def _secrets_of(url: str) -> Iterator[str]:
    user, passwords = "", []
    if match := _PASSWORDS.search(url):
        user = match["user"]
        passwords.append(match["first"])
    if match := _LONGEST_PASSWORD.search(url):
        passwords.append(match["all"])
    # User, host and database are printed anyway: a password equal to one of them cannot be kept secret.
    public = {user, unquote(user), *re.split(r"[/?]", url.rpartition("@")[2])}
    for password in passwords:
        yield from (form for form in _forms(password) if form not in public)
        pieces = re.split(r"[/?#@:%&=\s]+", password)
        yield from (piece for piece in pieces if len(piece) >= SHORTEST_PIECE and piece not in public)
    for match in (*_IN_QUERY.finditer(url), *_IN_OPTIONS.finditer(unquote(url.partition("?")[2]))):
        yield from _forms(match["value"])


def _forms(secret: str) -> Iterator[str]:
    plain = unquote(secret)
    forms = {secret, plain, unquote_plus(secret), quote(plain, safe=""), quote_plus(plain), repr(plain)[1:-1]}
    yield from (form for form in forms if len(form) >= SHORTEST)


def _of_environment() -> Iterator[str]:
    """Yield the secrets in OpenTelemetry's variables: values of headers, and passwords in URLs."""
    for name, value in os.environ.items():
        if name.startswith("OTEL_") and name.endswith("ENDPOINT"):
            yield from _secrets_of(value)
        if name.startswith("OTEL_") and name.endswith("HEADERS"):
            for pair in value.split(","):
                for form in _forms(pair.partition("=")[2].strip()):
                    yield from (word for word in (form, *form.split()) if len(word) > SHORTEST_PIECE)
