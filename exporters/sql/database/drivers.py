"""Chooses the driver for a database URL, or names the package to install if there is none.

The writer works in a thread and needs a synchronous driver. For a URL with an asynchronous driver, another
one for the same database is used. Drivers are found without importing them.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from telemetry._internal.urls.secrets import remember

_PACKAGES: Final = {
    "psycopg": "psycopg[binary]",
    "psycopg2": "psycopg2-binary",
    "psycopg2cffi": "psycopg2cffi",
}
"""The drivers for PostgreSQL, in order of preference, and the packages that install them."""

_OTHERS: Final = ("asyncpg", "psycopg_async", "aiopg", "pg8000")
"""Drivers of an application that are replaced by one of :data:`_PACKAGES`."""

_LIBPQ: Final = {
    *("application_name", "connect_timeout", "host", "options", "passfile", "port", "service"),
    *("sslcert", "sslkey", "sslmode", "sslrootcert", "target_session_attrs"),
}
"""URL parameters of other drivers that have the same meaning for libpq."""


def usable(url: str | URL, name: str = "TELEMETRY_DATABASE_URL") -> URL:
    """Return ``url`` with an installed, synchronous driver.

    Args:
        url: URL of the database, with any driver or none.
        name: name of the URL in error messages.

    Raises:
        ValueError: for an invalid URL, or a database that cannot keep rollups.
        ImportError: if no driver is installed; the message names the package.
    """
    text = url if isinstance(url, str) else url.render_as_string(hide_password=False)
    remember(text)
    try:
        target = make_url(url)
    except (ArgumentError, ValueError):
        raise ValueError(
            f"{name} is no SQLAlchemy URL, such as postgresql://user@host/name or sqlite:///app.sqlite"
        ) from None
    backend, _, driver = target.drivername.partition("+")
    if isinstance(url, str) and backend.startswith("postgres") and url.count("@") > 1:
        # SQLAlchemy takes the first @ for the end of the password, and the rest for the host.
        raise ValueError(f"{name} has more than one @: in a user, password or parameter it is written %40")
    if backend == "postgres":  # which some hosting services write
        backend = "postgresql"
    if backend not in ("postgresql", "sqlite"):
        raise ValueError(f"{name} names {backend}: rollups need PostgreSQL or SQLite")
    if backend == "sqlite":
        return target.set(drivername="sqlite") if driver == "aiosqlite" else target
    return _on_postgresql(target, driver)


def _on_postgresql(target: URL, driver: str) -> URL:
    if driver in _PACKAGES:
        if find_spec(driver) is None:
            raise _missing(f"postgresql+{driver}", _PACKAGES[driver])
        return target
    if driver and driver not in _OTHERS:
        raise ValueError(f"no driver for postgresql+{driver}:// is known: name psycopg or psycopg2, or none")
    installed = next((name for name in _preferred() if find_spec(name)), None)
    if installed is None:
        named = f"postgresql+{driver}" if driver else "postgresql"
        raise _missing(named, "psycopg[binary]", "" if not driver else f", beside {driver}")
    if driver:  # the URL may have parameters of that driver alone
        query = {key: value for key, value in target.query.items() if key in _LIBPQ}
        if isinstance(ssl := target.query.get("ssl"), str):
            query.setdefault("sslmode", {"true": "require", "false": "disable"}.get(ssl.lower(), ssl))
        target = target.set(query=query)
    # If SQLAlchemy would choose the same driver, the URL stays as it was written.
    return target.set(drivername="postgresql" if installed == _preferred()[0] else f"postgresql+{installed}")


def _preferred() -> list[str]:
    """Return the drivers to try if the URL names none: SQLAlchemy's own choice first."""
    default = make_url("postgresql://").get_dialect().driver
    return sorted(_PACKAGES, key=lambda name: name != default)


def _missing(drivername: str, package: str, beside: str = "") -> ImportError:
    module = package.partition("[")[0].removesuffix("-binary")
    return ModuleNotFoundError(
        f"no driver is installed for {drivername}://: pip install '{package}'{beside}", name=module
    )
