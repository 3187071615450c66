"""The host goes on generating its own migrations, and does not see ours."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from exporters.sql.schema import migrate
from tests.migrations.databases import create_host, engine_of, host_models


def autogenerate(url: str, models: sa.MetaData, **opts: Any) -> list[Any]:
    """What the host's `alembic revision --autogenerate` would write."""
    with engine_of(url) as engine, engine.connect() as connection:
        context = MigrationContext.configure(connection, opts=opts)
        return list(compare_metadata(context, models))


@pytest.fixture
def host_url(database_url: str) -> str:
    """A host's database with telemetry in it."""
    create_host(database_url)
    migrate.upgrade(database_url)
    return database_url


def test_nothing_to_generate(host_url: str) -> None:
    """With `include_object` there is nothing to do; without it, our tables would be dropped."""
    models = host_models()

    assert autogenerate(host_url, models, include_object=migrate.include_object) == []
    unprotected = {difference[0] for difference in autogenerate(host_url, models)}
    assert {"remove_table", "remove_column", "remove_index"} <= unprotected


def test_the_host_still_sees_its_own_changes(host_url: str) -> None:
    """A new table, a new column and a dropped column of the host are found as before."""
    models = host_models()
    sa.Table("invoices", models, sa.Column("id", sa.Integer(), primary_key=True))
    models.tables["users"].append_column(sa.Column("phone", sa.String(20)))
    with engine_of(host_url) as engine, engine.begin() as connection:
        connection.execute(sa.text("ALTER TABLE users ADD COLUMN fax VARCHAR(20)"))

    found = autogenerate(host_url, models, include_object=migrate.include_object)

    changes = {(kind, getattr(rest[-1], "name", None)) for kind, *rest in found}
    assert changes == {("add_table", "invoices"), ("add_column", "phone"), ("remove_column", "fax")}


def test_the_host_keeps_managing_what_it_declares(host_url: str) -> None:
    """A column of one of our names that is in the host's models is the host's: its type change is found."""
    models = host_models()
    models.tables["analyses"].c.jd_character_count.type = sa.Text()

    found = autogenerate(host_url, models, include_object=migrate.include_object)

    assert [(change[0][0], change[0][3]) for change in found] == [("modify_type", "jd_character_count")]
