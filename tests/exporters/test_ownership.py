"""Tables that the host had under telemetry's names belong to the host, and stay as they are."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import date, timedelta

import pytest
import sqlalchemy as sa
from sqlalchemy.engine import Engine

from exporters.sql.database.engine import create_engine
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.schema import migrate
from exporters.sql.storage import runs as run_storage
from exporters.sql.storage.warning_requests import UserWarnings
from exporters.sql.storage.warnings import settle
from exporters.upkeep.health_log import HealthCheck
from exporters.upkeep.sweep import sweep
from telemetry.settings import Settings
from tests.exporters.makers import KEY, Fragment, Host

TABLES = ("document_warnings", "system_health_log")


@pytest.fixture
def owner(database_url: str) -> Host:
    """A host with a log and a table of warnings of its own; its warning has no user and no answer."""
    migrate.upgrade(database_url, with_base_tables=True, revision="1_base_tables")
    host = Host(database_url)
    host.execute(
        "CREATE TABLE document_warnings (id INTEGER PRIMARY KEY, user_id INTEGER, analysis_id INTEGER,"
        " subject VARCHAR(99), warning_type VARCHAR(50), warning_shown_at TIMESTAMP, user_action VARCHAR(50))"
    )
    host.execute("CREATE TABLE system_health_log (id INTEGER PRIMARY KEY, log_date DATE UNIQUE)")
    host.execute(
        "INSERT INTO document_warnings VALUES (1, 77, NULL, 'draft/1', 'own', '2026-01-01 00:00:00', NULL)"
    )
    host.execute("INSERT INTO system_health_log VALUES (1, '2026-01-01')")
    migrate.upgrade(database_url)
    return host


@pytest.fixture
def engine(owner: Host) -> Iterator[Engine]:
    engine = create_engine(owner.url)
    yield engine
    engine.dispose()


def rows(host: Host) -> list[list[tuple[object, ...]]]:
    with host.engine.connect() as connection:
        return [
            [tuple(row) for row in connection.execute(sa.text(f"SELECT * FROM {name}"))] for name in TABLES
        ]


def test_tables_of_the_host_are_not_changed(owner: Host, engine: Engine) -> None:
    """Nothing is linked, abandoned, swept or logged; a request for it is refused."""
    before = rows(owner)
    owner.add_user(77)
    owner.add_analysis(1, 77)
    run_storage.deliver(engine, Fragment(analysis_id=1, user_id=77, subject="draft/1").close())
    HostRows(engine, KEY).project_analysis(1)
    owner.execute("DELETE FROM analyses")
    owner.execute("DELETE FROM users")

    assert settle(engine, timedelta(0)) == 0
    assert sweep(engine).warnings == 0
    settings = Settings(database_url=owner.url, hmac_key="k")
    with HealthCheck(settings) as check:
        check.tidy()
        with pytest.raises(LookupError, match="system_health_log is the application's own"):
            list(check.log(date(2026, 1, 1)))
    warnings = UserWarnings(settings)
    with pytest.raises(LookupError, match="document_warnings is the application's own"):
        warnings.add(77, "batch_too_large")
    warnings.close()
    assert rows(owner) == before
