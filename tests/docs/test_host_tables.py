"""The page about the host's tables is up to date and correct."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest
import sqlalchemy as sa

from exporters.sql.host.columns import Writable
from exporters.sql.host.needs import NEEDS, TABLES, Kind
from exporters.sql.host.shape import accepted, shapes
from exporters.sql.schema import migrate
from tests.postgres import TemporaryPostgres

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "host_tables.py"))


def test_page_is_up_to_date() -> None:
    """The committed page is what `make docs` writes."""
    assert SCRIPT["PAGE"].read_text(encoding="utf-8") == SCRIPT["page"]()


def test_base_tables_have_every_column(database_url: str) -> None:
    """The tables that --with-base-tables creates leave nothing out."""
    migrate.upgrade(database_url, with_base_tables=True)
    engine = sa.create_engine(database_url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        assert shapes(connection).keys() == set(TABLES)
        assert Writable.of(connection).left_out() == []


@pytest.mark.parametrize("kind", Kind)
def test_types_of_the_page_are_accepted_in_postgresql(postgres: TemporaryPostgres, kind: Kind) -> None:
    """A column of each type that the page lists is recognised as that kind."""
    url = postgres.create_database()
    names = [name for name in accepted(kind)[0] if name not in ("enum", "citext")]
    columns = ", ".join(f"c{number} {name.split(' (')[0]}" for number, name in enumerate(names))
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.connect() as connection:
        connection.execute(sa.text(f"CREATE TABLE analyses ({columns})"))
        shape = shapes(connection)["analyses"]
        assert all(shape.holds(f"c{number}", kind, "postgresql") for number in range(len(names)))


def test_every_column_is_described_once() -> None:
    """The descriptions are sentences."""
    places = [(need.table, need.column) for need in NEEDS]
    assert len(places) == len(set(places))
    assert all(need.used_for.endswith(".") for need in NEEDS)
    assert all(need.without.endswith(".") for need in NEEDS if not need.is_required)
