"""What persisting a run of 250 candidates costs: ``python -m benchmarks.write_path``.

Ours are the three transactions of the writer (T1, T2, T3). The floor writes the rows that result from them
by SQLAlchemy Core with executemany in one transaction: no derivation, look-up or lock. Both take turns in
one process, on analyses whose 250 files are in the tables with their contents, as they are with a host. The
figure is the median of the ratios of neighbouring rounds, on PostgreSQL and on SQLite.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Final
from uuid import uuid4

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from exporters.privacy.document_key import document_key
from exporters.rollup.accumulator import Accumulator
from exporters.rollup.call import Call
from exporters.rollup.snapshot import Snapshot
from exporters.sql.database.engine import create_engine
from exporters.sql.host.columns import Writable
from exporters.sql.projection.host_rows import HostRows
from exporters.sql.schema import migrate, tables
from exporters.sql.schema.host import HOST
from exporters.sql.storage import runs as run_storage
from telemetry._internal.run import Document
from telemetry.pricing.prices import Price, Tokens
from tests.postgres import TemporaryPostgres

TARGET: Final = 1.5
CANDIDATES: Final = 250
CRITERIA: Final = 6
FILE_BYTES: Final = 60_000
ROUNDS: Final = 12
KEY: Final = b"benchmark"
OURS: Final = (tables.runs, tables.fragments, tables.stage_usage, tables.counters, tables.documents)
HOSTS: Final = (HOST.analyses, HOST.candidate_files, HOST.users)

Rows = dict[str, list[dict[str, Any]]]


def main() -> None:
    """Measure on both databases, and print the figures."""
    ratios = {}
    for name, database in (("postgresql", _postgresql), ("sqlite", _sqlite)):
        with database() as url:
            ours, floor = _measure(url)
        ratios[name] = round(statistics.median(a / b for a, b in zip(ours, floor, strict=True)), 3)
        print(
            f"{name:<12} ours {statistics.median(ours):7.1f} ms   floor {statistics.median(floor):7.1f} ms"
            f"   ratio {ratios[name]:.3f}"
        )
    worst = max(ratios.values())
    print(json.dumps({"name": "write_path", **ratios, "target": TARGET, "met": worst <= TARGET}))


def _measure(url: str) -> tuple[list[float], list[float]]:
    """Return the milliseconds of each round, ours and the floor's."""
    engine = create_engine(url)
    _make_rows(engine)
    host_rows = HostRows(engine, KEY)
    ours, floor = [], []
    for number in range(-1, ROUNDS):  # the first round warms up
        snapshot = _finished_run(2 * number + 3)
        times = [_milliseconds(partial(_persist, engine, snapshot, host_rows))]
        rows = _as_they_stand(engine, snapshot, host_rows.columns, 2 * number + 4)
        times.append(_milliseconds(partial(_write, engine, rows)))
        if number >= 0:
            ours.append(times[0])
            floor.append(times[1])
    engine.dispose()
    return ours, floor


def _persist(engine: Engine, snapshot: Snapshot, host_rows: HostRows) -> None:
    result = run_storage.deliver(engine, snapshot)
    assert result.analysis_id is not None and result.user_id is not None
    host_rows.project_analysis(result.analysis_id)
    host_rows.project_user(result.user_id)


def _as_they_stand(engine: Engine, snapshot: Snapshot, writable: Writable, analysis: int) -> Rows:
    """Return the rows that were written for one analysis, as rows of the next one."""
    run_id, shift = uuid4().hex, CANDIDATES
    with engine.begin() as connection:
        rows: Rows = {table.name: [] for table in OURS}
        for table in OURS:
            query = sa.select(table).where(table.c.run_id == snapshot.run_id)
            rows[table.name] = [{**row, "run_id": run_id} for row in _all(connection, query)]
        rows["telemetry_runs"][0]["analysis_ref"] = analysis
        for table in HOSTS:
            columns = [table.c.id, *(table.c[name] for name in sorted(writable.columns[table.name]))]
            mine = _mine(table, snapshot)
            rows[table.name] = _all(connection, sa.select(*columns).where(mine))
    rows["analyses"][0]["id"] = analysis
    for file in rows["candidate_files"]:
        file["id"] += shift
    return rows


def _mine(table: sa.Table, snapshot: Snapshot) -> Any:
    if table.name == "candidate_files":
        return table.c.analysis_id == snapshot.analysis_id
    return table.c.id == (snapshot.analysis_id if table.name == "analyses" else snapshot.user_id)


def _write(engine: Engine, rows: Rows) -> None:
    """Write them with nothing between the rows and the database."""
    with engine.begin() as connection:
        for table in OURS:
            if rows[table.name]:
                connection.execute(table.insert(), rows[table.name])
        for table in HOSTS:
            changes = [{**row, "row_id": row["id"]} for row in rows[table.name]]
            values: dict[str, Any] = {
                name: sa.bindparam(name) for name in changes[0] if name not in ("id", "row_id")
            }
            statement = table.update().where(table.c.id == sa.bindparam("row_id")).values(values)
            connection.execute(statement, [{k: v for k, v in each.items() if k != "id"} for each in changes])


def _finished_run(analysis: int) -> Snapshot:
    """The final state of a run over 250 candidates, as a process hands it to the writer."""
    opened = time.time_ns() - 60 * 10**9
    accumulator = Accumulator(
        Snapshot(
            run_id=uuid4().hex,
            fragment_id=uuid4().hex,
            process_id="benchmark",
            kind="analysis",
            seq=0,
            opened_at=opened,
            taken_at=opened,
            user_id=1,
            analysis_id=analysis,
            candidates=CANDIDATES,
            criteria=CRITERIA,
        )
    )
    for stage, calls in (("embedding", 4), ("ranking", CANDIDATES * CRITERIA), ("insights", 3)):
        accumulator.stage_started(stage, opened)
        for _ in range(calls):
            accumulator.call_started()
            accumulator.call_ended(_call(stage))
        accumulator.stage_ended(stage, opened + 10**10)
    for number in range(CANDIDATES):
        name = f"cv-{number}.pdf"
        visit = Document(name, size=FILE_BYTES, characters=4000, type="pdf")
        visit.score, visit.analysis_ns, visit.extraction_ns = 40 * number, 10**9, 10**8
        accumulator.document(document_key(KEY, accumulator.facts.run_id, name), visit)
    accumulator.count("app_retries", 3)
    return accumulator.close(time.time_ns(), status="completed", ends_run=True, duration_us=60 * 10**6)


def _call(stage: str) -> Call:
    price = Price(210_000_000, "genai-prices", "1")
    tokens = Tokens(1000, 100)
    return Call(stage, "chat", "gpt-4o-mini", "default", True, 1500, ("200",), tokens=tokens, price=price)


def _make_rows(engine: Engine) -> None:
    """The host's rows: a user, and analyses with their files."""
    now = datetime.now(UTC).replace(tzinfo=None, microsecond=0)
    user = {"id": 1, "email": "a@example.com", "password_hash": "x", "name": "n", "created_at": now}
    with engine.begin() as connection:
        _insert(connection, "users", [user])
    for analysis in range(1, 2 * ROUNDS + 3):
        row = {"id": analysis, "user_id": 1, "num_candidates": CANDIDATES, "num_criteria": CRITERIA}
        files = [
            {
                "id": analysis * CANDIDATES + number,
                "analysis_id": analysis,
                "file_name": f"cv-{number}.pdf",
                "file_bytes": os.urandom(FILE_BYTES),
                "extracted_text": "word " * 800,
                "created_at": now,
            }
            for number in range(CANDIDATES)
        ]
        with engine.begin() as connection:
            _insert(connection, "analyses", [{**row, "cost_usd": 1, "created_at": now}])
            _insert(connection, "candidate_files", files)


def _insert(connection: Connection, table: str, rows: list[dict[str, Any]]) -> None:
    names = ", ".join(rows[0])
    places = ", ".join(f":{name}" for name in rows[0])
    connection.execute(sa.text(f"INSERT INTO {table} ({names}) VALUES ({places})"), rows)


def _all(connection: Connection, query: Any) -> list[dict[str, Any]]:
    return [dict(row) for row in connection.execute(query).mappings()]


def _milliseconds(act: Callable[[], None]) -> float:
    started = time.perf_counter()
    act()
    return (time.perf_counter() - started) * 1000


@contextmanager
def _postgresql() -> Iterator[str]:
    with TemporaryPostgres() as server:
        url = server.create_database()
        migrate.upgrade(url, with_base_tables=True)
        yield url


@contextmanager
def _sqlite() -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'host.sqlite'}"
        migrate.upgrade(url, with_base_tables=True)
        yield url


if __name__ == "__main__":
    main()
