"""The database role of dashboards: it reads our views and nothing else.

The application's own role may not create roles, so the SQL is printed for somebody who may.
"""

from __future__ import annotations

from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import make_url

from .tables import VIEWS

SECONDS_A_QUERY = 30
"""Limit after which a query of a dashboard is cancelled, so that it does not slow the application."""


def role_sql(database_url: str, role: str) -> str:
    """Return SQL that creates ``role``, or revokes what it should not have, and grants it our views.

    Its queries are not compiled (``jit``): for those of dashboards that takes longer than to run them.
    It has no password yet, and so cannot log in remotely; the password command of psql sets one.

    Raises:
        ValueError: for a database that is not PostgreSQL, and so has no roles.
    """
    url = make_url(database_url)
    if url.get_backend_name() != "postgresql":
        raise ValueError(f"{url.get_backend_name()} has no roles; only PostgreSQL does")
    quote = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]
    name, database, literal = quote(role), quote(url.database or ""), role.replace("'", "''")
    views = ",\n  ".join(VIEWS)
    return f"""\
DO $$ BEGIN
  IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = '{literal}') THEN CREATE ROLE {name} LOGIN; END IF;
END $$;
ALTER ROLE {name} NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS;
ALTER ROLE {name} SET default_transaction_read_only = on;
ALTER ROLE {name} SET jit = off;
ALTER ROLE {name} SET statement_timeout = '{SECONDS_A_QUERY}s';
REVOKE ALL ON ALL TABLES IN SCHEMA public FROM {name};
GRANT CONNECT ON DATABASE {database} TO {name};
GRANT USAGE ON SCHEMA public TO {name};
GRANT SELECT ON
  {views}
  TO {name};
"""
