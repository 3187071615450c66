"""The role of dashboards reads views only, and no personal data."""

from __future__ import annotations

import re
from typing import Any

import psycopg
import pytest

from exporters.sql.schema.tables import VIEWS

Reader = psycopg.Connection[tuple[Any, ...]]
PERSONAL = re.compile(r"e_?mail|password|name$|(?<!error_)text|title|subject|file_bytes|document_key")
"""Names of columns that would hold an address, a name, a file, a text or a key of it."""
PRIVILEGES = ("INSERT", "UPDATE", "DELETE", "TRUNCATE", "REFERENCES", "TRIGGER")


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO telemetry_warnings (warning_type) VALUES ('x')",
        "UPDATE telemetry_jobs SET status = 'failed'",
        "DELETE FROM telemetry_jobs",
        "CREATE TABLE own (id int)",
        "SELECT * FROM telemetry_runs",
        "SELECT email FROM users",
        "SELECT extracted_text FROM candidate_files",
        "SELECT document_key FROM telemetry_documents",
    ],
)
def test_the_role_reads_views_only(reader: Reader, statement: str) -> None:
    """D24: it changes nothing, and sees no e-mail address, name or text."""
    with pytest.raises(psycopg.Error, match="permission denied|read-only|cannot"):
        reader.execute(statement.encode())


def test_queries_are_not_compiled(reader: Reader) -> None:
    """That takes longer than to run them, as `benchmarks/dashboards.py` shows."""
    assert reader.execute(b"SHOW jit").fetchall() == [("off",)]


def test_the_role_may_read_our_views_and_nothing_else(reader: Reader) -> None:
    """D24: of all tables and views of the database, and it may create nothing."""
    relations = b"""SELECT oid, relname FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'v', 'm', 'p', 'f', 'S')"""
    readable = set()
    for oid, name in reader.execute(relations).fetchall():
        for privilege in PRIVILEGES:
            has = (
                f"SELECT has_table_privilege({oid}, '{privilege}')"
                if not name.endswith("_seq")
                else "SELECT false"
            )
            assert reader.execute(has.encode()).fetchall() == [(False,)], (name, privilege)
        if not name.endswith("_seq") and reader.execute(
            f"SELECT has_table_privilege({oid}, 'SELECT')".encode()
        ).fetchall() == [(True,)]:
            readable.add(name)
    assert readable == set(VIEWS)
    assert reader.execute(b"SELECT has_schema_privilege('public', 'CREATE')").fetchall() == [(False,)]


def test_the_views_hold_no_personal_data(reader: Reader) -> None:
    """D24: users are numbers, documents are numbered."""
    columns = reader.execute(
        b"SELECT table_name, column_name FROM information_schema.columns WHERE table_schema = 'public'"
    ).fetchall()
    assert {table for table, _ in columns} == set(VIEWS)
    personal = {(table, name) for table, name in columns if PERSONAL.search(name)}
    assert personal == {("telemetry_run_spend", "subject")}  # such as draft:12, never a name
