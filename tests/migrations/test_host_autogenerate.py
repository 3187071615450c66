"""The host's autogenerate finds its own changes, but not telemetry's."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from exporters.sql.schema import migrate
from tests.migrations.databases import create_host, engine_of, host_models


def autogenerate(url: str, models: sa.MetaData, **opts: Any) -> list[Any]:
    """Return what the host's `alembic revision --autogenerate` would generate."""
    with engine_of(url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=opts)
        return list(compare_metadata(context, models))


@pytest.fixture
def host_url(database_url: str) -> str:
    """A host's database with telemetry."""
    create_host(database_url)
    migrate.upgrade(database_url)
    return database_url


def test_include_object_hides_additions(host_url: str) -> None:
    """With `include_object` nothing is generated; without it, telemetry's tables would be dropped."""
    models = host_models()

    assert autogenerate(host_url, models, include_object=migrate.include_object) == []
    unprotected = {difference[0] for difference in autogenerate(host_url, models)}
    assert {"remove_table", "remove_column", "remove_index"} <= unprotected


def test_changes_of_the_host_are_found(host_url: str) -> None:
    """A new table, a new column and a dropped column of the host are differences."""
    models = host_models()
    sa.Table("invoices", models, sa.Column("id", sa.Integer(), primary_key=True))
    models.tables["users"].append_column(sa.Column("phone", sa.String(20)))
    with engine_of(host_url) as engine, engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE users ADD COLUMN fax VARCHAR(20)"))

    differences = autogenerate(host_url, models, include_object=migrate.include_object)

    changes = {(kind, getattr(rest[-1], "name", None)) for kind, *rest in differences}
    assert changes == {("add_table", "invoices"), ("add_column", "phone"), ("remove_column", "fax")}


def test_columns_that_the_host_declares_stay_its_own(host_url: str) -> None:
    """A change of the type of such a column is differences, even if telemetry uses the name as well."""
    models = host_models()
    models.tables["analyses"].c.jd_character_count.type = sa.Text()

    differences = autogenerate(host_url, models, include_object=migrate.include_object)

    assert [(change[0][0], change[0][3]) for change in differences] == [("modify_type", "jd_character_count")]
