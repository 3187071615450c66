"""Identify the database of a URL: by everything that decides where a row lands, and nothing else.

Passwords, drivers, time-outs, certificates and the order of parameters do not matter. An unknown parameter
counts: two spool folders for one database cost little, one folder for two databases costs data.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl, unquote, urlsplit

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

NO_URL: Final = "a URL that is none"

_NEUTRAL: Final = re.compile(
    r"application_name|fallback_application_name|\w*timeout|keepalives\w*|tcp_\w+|ssl\w*|gss\w*|krb\w+"
    r"|channel_binding|require\w+|client_encoding|passfile|target_session_attrs|load_balance_hosts"
    r"|(min|max)_protocol_version|scram_\w+|oauth_\w+"
    r"|prepare\w*|statement_cache_size|async_fallback|\w*(password|passwd|secret|token)\w*",
    re.IGNORECASE,
)
"""Connection parameters that do not matter."""
_NEUTRAL_OPTIONS: Final = re.compile(
    r"\w*timeout|tcp_\w+|log_\w+|enable_\w+|jit\w*|\w+_cost|\w*_mem|application_name|timezone|datestyle"
    r"|intervalstyle|client_\w+|synchronous_commit|default_transaction_\w+|max_parallel_\w+",
    re.IGNORECASE,
)
"""Server settings in ``options`` that do not matter."""
_ENVIRONMENT: Final = {
    **{"host": "PGHOST", "hostaddr": "PGHOSTADDR", "port": "PGPORT", "dbname": "PGDATABASE"},
    **{"user": "PGUSER", "options": "PGOPTIONS", "service": "PGSERVICE"},
}
"""Environment variables in which libpq looks for what a URL leaves out."""


def parse(url: str) -> URL | None:
    """Return ``url`` as SQLAlchemy parses it; None if it is invalid or SQLAlchemy is missing."""
    try:
        from sqlalchemy.engine import make_url
        from sqlalchemy.exc import ArgumentError
    except ImportError:
        return None
    try:
        return None if has_stray_at(found := make_url(url), url) else found
    except (ArgumentError, ValueError):
        return None


def has_stray_at(target: URL, url: str) -> bool:
    """Return whether a password has an unquoted ``@``, so that its rest is parsed as the host."""
    return target.drivername.startswith("postgres") and url.count("@") > 1


def place_of(url: str, environ: Mapping[str, str] | None = None) -> str:
    """Return a URL without secrets that is equal for all URLs of one database.

    The user is left out: usually it does not matter, and it may be rotated like its password. See
    :func:`user_of`.

    Args:
        url: URL of the database, or empty.
        environ: environment variables for what the URL leaves out; default: those of the process.
    """
    if not url:
        return ""
    if (target := parse(url)) is None:
        return NO_URL
    backend = _backend(target)
    if backend == "sqlite":
        return f"sqlite:///{_file_of(target)}"
    parameters = _parameters(target, os.environ if environ is None else environ)
    options = dict(_options(parameters.pop("options", "")))
    user = parameters.pop("user", "")
    addresses = _addresses(parameters.pop("host", ""), parameters.pop("port", ""))
    name = parameters.pop("dbname", "") or ("" if "service" in parameters else user)
    more = [f"{key}={value}" for key, value in sorted((parameters | options).items())]
    return f"{backend}://{addresses}/{name}{'?' if more else ''}{'&'.join(more)}"


def user_of(url: str, environ: Mapping[str, str] | None = None) -> str:
    """Return the user if its schema may decide where rows land, else an empty string.

    PostgreSQL looks into the schema of the user's name first, unless ``options`` name a ``search_path``
    without ``"$user"``, or a role.
    """
    target = parse(url)
    if target is None or _backend(target) == "sqlite":
        return ""
    parameters = _parameters(target, os.environ if environ is None else environ)
    options = dict(_options(parameters.get("options", "")))
    has_own_schema = "$user" in options.get("search_path", "$user") and "role" not in options
    return parameters.get("user", "") if has_own_schema else ""


def key_of(place: str) -> str:
    """Return the name of the spool's folder for the database at ``place``."""
    return hashlib.sha256(f"2 {place}".encode()).hexdigest()[:16]


def old_keys_of(url: str) -> dict[str, bool]:
    """Return the spool folders that earlier versions used for ``url``.

    The value of a folder is True if that version ignored something that decides where rows land: the folder
    may then hold entries for another database too.
    """
    target = parse(url)
    if target is None:
        return {}
    folders: dict[str, bool] = {}
    if _backend(target) == "sqlite":
        folders[_hash(f"sqlite:///{os.path.realpath(target.database or ':memory:')}")] = False
    else:
        parameters = _parameters(target, {})
        known = {"host", "port", "dbname", "user", "options"}
        address = f"{parameters.get('host') or 'localhost'}:{parameters.get('port') or '5432'}"
        name = target.database or target.username or ""
        more = f"?options={parameters['options']}" if "options" in parameters else ""
        folders[_hash(f"{_backend(target)}://{address}/{name}{more}")] = bool({*parameters} - known)
    try:
        parts = urlsplit(url)
        place = f"{parts.scheme.split('+')[0]}://{parts.hostname}:{parts.port}{parts.path}"
    except ValueError:  # the oldest version could not parse such a URL
        return folders
    return {_hash(place): bool(parse_qsl(parts.query)) and _backend(target) != "sqlite", **folders}


def _hash(place: str) -> str:
    return hashlib.sha256(place.encode()).hexdigest()[:16]


def _backend(target: URL) -> str:
    backend = target.drivername.partition("+")[0]
    return "postgresql" if backend == "postgres" else backend


def _file_of(target: URL) -> str:
    name = target.database or ":memory:"
    if name.startswith("file:"):
        name = unquote(urlsplit(name).path)
    return os.path.realpath(name)


def _parameters(target: URL, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the connection parameters by libpq's names, without those that do not matter."""
    given = {
        "host": target.host or "",
        "port": str(target.port or ""),
        "dbname": target.database or "",
        "user": target.username or "",
        **{key: value if isinstance(value, str) else ",".join(value) for key, value in target.query.items()},
    }
    for key, name in _ENVIRONMENT.items():
        if not given.get(key) and environ.get(name):
            given[key] = environ[name]
    return {key: value for key, value in given.items() if value and not _NEUTRAL.fullmatch(key)}


def _addresses(hosts: str, ports: str) -> str:
    """Return the servers in a fixed order: which of several is up or comes first does not matter."""
    ports = ports or "5432"
    port_of_host = ports.split(",") if "," in ports else [ports] * len(hosts.split(","))
    pairs = zip(hosts.split(","), port_of_host, strict=False)
    return ",".join(sorted(host if _names_port(host) else f"{host}:{port}" for host, port in pairs))


def _names_port(host: str) -> bool:
    return bool(re.fullmatch(r"[^/:\[\]]+:\d+|\[.*\]:\d+", host))


def _options(text: str) -> Iterator[tuple[str, str]]:
    """Yield the server settings in ``text`` that matter; the whole text if it cannot be parsed."""
    try:
        words = iter(shlex.split(text))
    except ValueError:
        yield "options", text
        return
    for word in words:
        if word == "-c":
            word = next(words, "")
        elif word.startswith(("-c", "--")):
            word = word[2:]
        else:
            yield "options", text
            return
        name, _, value = word.partition("=")
        name = name.strip().lower().replace("-", "_")
        if not _NEUTRAL_OPTIONS.fullmatch(name):
            yield name, re.sub(r"\s*,\s*", ",", value.strip())
