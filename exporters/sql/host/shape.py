"""The application's tables as the database describes them.

They are read from the catalogues of PostgreSQL and SQLite, because SQLAlchemy's reflection warns of types
that it does not know, such as those of extensions, and an application may turn warnings into errors.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import sqlalchemy as sa
from sqlalchemy.engine import Connection, RowMapping

from .needs import TABLES, Kind

Sort = Literal["table", "partitioned", "view", "foreign"]


@dataclass(frozen=True, slots=True)
class Shape:
    """A table that exists."""

    name: str
    sort: Sort
    types: dict[str, str]
    """Types of the columns, as the database names them; on SQLite, names of columns are in lower case."""
    unique: frozenset[str] = field(default_factory=frozenset)
    """Columns that are unique by themselves."""

    def holds(self, column: str, kind: Kind, dialect: str) -> bool:
        """Return whether a column exists with a type that can hold a kind."""
        if column not in self.types:
            return False
        return (_sqlite_holds if dialect == "sqlite" else _postgresql_holds)(self.types[column], kind)


def shapes(connection: Connection) -> dict[str, Shape]:
    """Return the existing tables of the application, by unqualified names."""
    find = _sqlite if connection.dialect.name == "sqlite" else _postgresql
    described = (find(connection, name) for name in TABLES)
    return {shape.name: shape for shape in described if shape is not None}


def has_table(connection: Connection, name: str) -> bool:
    """Return whether a table or a view exists."""
    query = (
        "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE type IN ('table', 'view') AND lower(name) = :name)"
        if connection.dialect.name == "sqlite"
        else "SELECT to_regclass(:name) IS NOT NULL"
    )
    return bool(connection.scalar(sa.text(query), {"name": name}))


_RELATION: Final = sa.text("SELECT relkind::text FROM pg_class WHERE oid = to_regclass(:name)")
_COLUMNS: Final = sa.text("""
SELECT a.attname::text AS name, COALESCE(base.typname, t.typname)::text AS type, t.typtype::text AS sort,
  EXISTS (
    SELECT FROM pg_index i WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indisvalid
    AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum
  ) AS is_unique
FROM pg_attribute a JOIN pg_type t ON t.oid = a.atttypid
LEFT JOIN pg_type base ON t.typtype = 'd' AND base.oid = t.typbasetype
WHERE a.attrelid = to_regclass(:name) AND a.attnum > 0 AND NOT a.attisdropped
""")
_SORTS: Final[dict[str, Sort]] = {"p": "partitioned", "v": "view", "m": "view", "f": "foreign"}
_ENUM: Final = "enum"


def _postgresql(connection: Connection, name: str) -> Shape | None:
    relation = connection.scalar(_RELATION, {"name": name})
    if relation is None:
        return None
    rows = connection.execute(_COLUMNS, {"name": name}).mappings().all()
    types = {row["name"]: _ENUM if row["sort"] == "e" else row["type"] for row in rows}
    unique = frozenset(row["name"] for row in rows if row["is_unique"])
    return Shape(name, _SORTS.get(relation, "table"), types, unique)


def _sqlite(connection: Connection, name: str) -> Shape | None:
    query = sa.text("SELECT type FROM sqlite_master WHERE type IN ('table', 'view') AND lower(name) = :name")
    sort = connection.scalar(query, {"name": name})
    if sort is None:
        return None
    rows = connection.exec_driver_sql(f"PRAGMA table_xinfo({name})").mappings().all()
    types = {row["name"].lower(): row["type"] for row in rows}
    return Shape(name, "view" if sort == "view" else "table", types, _sqlite_unique(connection, name, rows))


def _sqlite_unique(connection: Connection, name: str, rows: Sequence[RowMapping]) -> frozenset[str]:
    keys = [row["name"].lower() for row in rows if row["pk"]]
    unique = set(keys) if len(keys) == 1 else set()
    indexes = connection.exec_driver_sql(f"PRAGMA index_list({name})").mappings().all()
    for index in indexes:
        if index["unique"] and not index["partial"]:
            query = sa.text("SELECT name FROM pragma_index_info(:index)")
            columns = list(connection.execute(query, {"index": index["name"]}).scalars())
            if len(columns) == 1 and columns[0]:
                unique.add(columns[0].lower())
    return frozenset(unique)


_POSTGRESQL: Final = {
    Kind.KEY: {"int2", "int4", "int8"},
    Kind.MOMENT: {"timestamp", "timestamptz", "date"},
    Kind.NUMBER: {"int2", "int4", "int8", "numeric", "float4", "float8"},
    Kind.TRUTH: {"bool", "int2", "int4", "int8"},
    Kind.TEXT: {"text", "varchar", "bpchar", "citext", "name", _ENUM},
    Kind.BYTES: {"bytea"},
}

_NAMES: Final = {
    "int2": "SMALLINT",
    "int4": "INTEGER",
    "int8": "BIGINT",
    "float4": "REAL",
    "float8": "DOUBLE PRECISION",
    "bool": "BOOLEAN",
    "bpchar": "CHAR",
    "timestamptz": "TIMESTAMP WITH TIME ZONE",
    _ENUM: _ENUM,
    "citext": "citext",
}
"""Types as they are written in SQL, if that is not their name in capitals."""


def accepted(kind: Kind) -> tuple[list[str], list[str]]:
    """Return the types of PostgreSQL, and the affinities of SQLite, that can hold a kind."""
    return sorted(_NAMES.get(name, name.upper()) for name in _POSTGRESQL[kind]), sorted(_SQLITE[kind])


def _postgresql_holds(type_name: str, kind: Kind) -> bool:
    return type_name in _POSTGRESQL[kind]


_SQLITE: Final = {
    Kind.KEY: {"integer"},
    Kind.MOMENT: {"numeric", "text"},
    Kind.NUMBER: {"integer", "real", "numeric"},
    Kind.TRUTH: {"integer", "numeric"},
    Kind.TEXT: {"text", "numeric", "blob"},
    Kind.BYTES: {"blob", "numeric"},
}
"""By affinity; a value of another type than its column's is read as NULL."""


def _sqlite_holds(type_name: str, kind: Kind) -> bool:
    return _affinity(type_name.upper()) in _SQLITE[kind]


def _affinity(declared: str) -> str:
    """Return the affinity of a declared type, by the rules of SQLite's documentation."""
    if "INT" in declared:
        return "integer"
    if any(word in declared for word in ("CHAR", "CLOB", "TEXT")):
        return "text"
    if not declared or "BLOB" in declared:
        return "blob"
    if any(word in declared for word in ("REAL", "FLOA", "DOUB")):
        return "real"
    return "numeric"
