"""Exports have the figures of the views, are streamed, safe in spreadsheets, and free of personal data."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow.compute as pc  # type: ignore[import-untyped]
import pyarrow.parquet as pq  # type: ignore[import-untyped]
import pytest
import sqlalchemy as sa
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from exporters.export import parquet
from exporters.export.jobs import Export
from exporters.export.selection import COLUMNS
from exporters.export.texts import as_csv, as_json
from exporters.sql.database.engine import create_engine
from exporters.sql.schema import tables
from exporters.sql.schema.tables import runs
from telemetry.cli.group import cli
from tests import fresh
from tests.exporters.makers import CREATED, SOME_HOSTS, Host

HOSTS = SOME_HOSTS

NOW = datetime(2026, 11, 25, 12)


def add_jobs(host: Host, count: int, **known: Any) -> None:
    """Insert this many jobs, a minute apart."""
    rows = [
        {
            "run_id": f"{known.get('user_ref', 0):02x}{number:030x}",
            "kind": "analysis",
            "source": "spans",
            "synthetic": False,
            "version": 1,
            "status": "completed",
            "started_at": NOW - timedelta(minutes=number),
            "duration_us": 1_500_000,
            "candidates": 5,
            "cost_pico": 10**9 + number,
            "cost_complete": True,
        }
        | known
        for number in range(count)
    ]
    with host.engine.begin() as connection:
        connection.execute(sa.insert(runs), rows)


@pytest.fixture
def jobs(host: Host) -> Host:
    """Jobs of two users; the second has many, and an address that looks like a formula."""
    for user in (1, 2):
        host.add_user(user)
    host.execute("UPDATE users SET email = '=HYPERLINK(1)@example.com' WHERE id = 2")
    add_jobs(host, 3, user_ref=1, candidates=5, error_types='[{"stage": "x", "type": "é", "count": 1}]')
    add_jobs(host, 4, user_ref=2, candidates=200, started_at=NOW - timedelta(days=40), kind="import")
    people = [
        {"user_ref": 1, "created_at": datetime.now(UTC).replace(tzinfo=None), "jobs": 3, "last_run_at": NOW},
        {"user_ref": 2, "created_at": CREATED - timedelta(days=400), "jobs": 40, "last_run_at": None},
    ]
    with host.engine.begin() as connection:
        connection.execute(sa.insert(tables.users), people)
    return host


def exported(host: Host, form: str = "json", **selection: Any) -> str:
    with Export(host.url, **selection) as export:
        return b"".join(export.pieces(form)).decode()


def listed(host: Host, **selection: Any) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(exported(host, **selection))
    return rows


def test_every_column_is_exported(jobs: Host) -> None:
    """Times are in UTC, booleans are booleans, and money is exact and in dollars."""
    row = listed(jobs)[-1]
    assert tuple(row) == COLUMNS
    assert (row["started_at"], row["duration_seconds"]) == ("2026-11-25T12:00:00.000Z", 1.5)
    assert (row["cost_pico"], row["cost_dollars"], row["cost_complete"]) == (10**9, 0.001, True)
    assert (row["is_new_user"], row["is_power_user"], row["batch_size"]) == (True, False, "small")


def test_all_formats_have_the_same_values(jobs: Host) -> None:
    """CSV has empty cells for null, and text for numbers."""
    as_list = listed(jobs)
    lines = [json.loads(line) for line in exported(jobs, "jsonl").splitlines()]
    table = list(csv.DictReader(io.StringIO(exported(jobs, "csv"))))

    assert lines == as_list
    words = {None: "", True: "true", False: "false"}
    assert table == [
        {
            name: words[value]
            if value in (None, True, False) and not isinstance(value, int | float) or isinstance(value, bool)
            else str(value)
            for name, value in row.items()
        }
        for row in as_list
    ]


def test_sums_equal_those_of_the_view(jobs: Host) -> None:
    """They do so to the pico-dollar."""
    with jobs.engine.connect() as connection:
        query = sa.text("SELECT COUNT(*), SUM(cost_pico), SUM(candidates) FROM telemetry_jobs")
        count, pico, candidates = connection.execute(query).one()
    rows = listed(jobs)
    assert (len(rows), sum(row["cost_pico"] or 0 for row in rows)) == (count, pico)
    assert sum(row["candidates"] for row in rows) == candidates


@pytest.mark.parametrize("form", ["json", "parquet"])
def test_with_a_model_the_cost_is_that_of_its_calls(host: Host, form: str) -> None:
    """As on dashboards; jobs that did not call it are left out."""
    add_jobs(host, 2, user_ref=1)
    (first, _) = host.rows("telemetry_runs")
    for model, pico in (("small", 10**12), ("large", 2 * 10**12)):
        known = {"run_id": first["run_id"], "stage": "ranking", "operation": "chat", "model": model}
        host.insert("telemetry_stage_usage", cost_pico=pico, **known)

    with Export(host.url, model="small") as export:
        data = b"".join(export.pieces(form))
    rows = json.loads(data) if form == "json" else pq.read_table(io.BytesIO(data)).to_pylist()
    assert [(row["run_id"], row["cost_pico"], float(row["cost_dollars"])) for row in rows] == [
        (first["run_id"], 10**12, 1)
    ]


@pytest.mark.parametrize(
    ("selection", "users"),
    [
        ({}, [2, 2, 2, 2, 1, 1, 1]),
        ({"segment": "new"}, [1, 1, 1]),
        ({"segment": "power"}, [2, 2, 2, 2]),
        ({"batch_size": "large"}, [2, 2, 2, 2]),
        ({"batch_size": "small", "segment": "power"}, []),
        ({"since": NOW - timedelta(minutes=1)}, [1, 1]),
        ({"until": NOW}, [2, 2, 2, 2, 1, 1]),
        ({"user": 1}, [1, 1, 1]),
        ({"user": 2, "segment": "new"}, []),
        ({"model": "gpt-4o-mini"}, []),
    ],
)
def test_jobs_can_be_selected(jobs: Host, selection: dict[str, Any], users: list[int]) -> None:
    """They are selected by segment, batch size, user, model and period, whose end is not included."""
    with Export(jobs.url, **selection) as export:
        assert export.count() == len(users)
    assert [row["user_ref"] for row in listed(jobs, **selection)] == users


def test_addresses_are_exported_only_on_request(jobs: Host) -> None:
    """`with_emails` adds them, escaped where a spreadsheet would see a formula."""
    assert "example.com" not in exported(jobs, "csv") + exported(jobs, "json")
    rows = list(csv.DictReader(io.StringIO(exported(jobs, "csv", with_emails=True))))
    assert {row["email"] for row in rows} == {"1@example.com", "'=HYPERLINK(1)@example.com"}


def as_parquet(host: Host, path: Path, **selection: Any) -> pq.ParquetFile:
    with path.open("wb") as file, Export(host.url, **selection) as export:
        file.writelines(export.pieces("parquet"))
        assert export.exported == export.count()
    return pq.ParquetFile(path)


def test_parquet_has_the_values_of_json(jobs: Host, tmp_path: Path) -> None:
    """Times and money have types of their own."""
    rows = as_parquet(jobs, tmp_path / "jobs.parquet", with_emails=True).read().to_pylist()
    for row in rows:
        if row["kind"] == "import":
            assert (row["cost_dollars"], row["cost_pico"]) == (None, None)
        else:
            assert row["cost_dollars"] == Decimal(row["cost_pico"]) / 10**12
            row["cost_dollars"] = float(row["cost_dollars"])
        for name in ("started_at", "ended_at"):
            row[name] = row[name] and row[name].isoformat(timespec="milliseconds").replace("+00:00", "Z")
    assert rows == listed(jobs, with_emails=True)


def test_parquet_columns_have_exact_types(jobs: Host, tmp_path: Path) -> None:
    """Money is decimal, times are in UTC, and every column may be null."""
    schema = as_parquet(jobs, tmp_path / "jobs.parquet").schema_arrow
    assert schema.names == list(COLUMNS)
    assert all(field.nullable for field in schema)
    expected = {
        "cost_dollars": "decimal128(20, 12)",
        "cost_pico": "int64",
        "started_at": "timestamp[us, tz=UTC]",
        "is_new_user": "bool",
        "score_avg": "double",
        "error_types": "string",
    }
    assert {name: str(schema.field(name).type) for name in expected} == expected


def test_parquet_sums_equal_those_of_the_view(jobs: Host, tmp_path: Path) -> None:
    """They do so to the pico-dollar, as in the CSV file."""
    table = as_parquet(jobs, tmp_path / "jobs.parquet").read()
    with jobs.engine.connect() as connection:
        pico = connection.scalar(sa.text("SELECT SUM(cost_pico) FROM telemetry_jobs"))
    lines = csv.DictReader(io.StringIO(exported(jobs, "csv")))
    assert pc.sum(table["cost_pico"]).as_py() == pico == sum(int(line["cost_pico"] or 0) for line in lines)
    assert pc.sum(table["cost_dollars"]).as_py() == Decimal(int(pico)) / 10**12


def test_an_empty_parquet_file_is_valid(sqlite_host: Host, tmp_path: Path) -> None:
    """It has columns and no rows."""
    assert as_parquet(sqlite_host, tmp_path / "jobs.parquet").read().num_rows == 0


def test_parquet_is_written_in_row_groups(
    sqlite_host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Memory holds one group at a time."""
    monkeypatch.setattr(parquet, "GROUP", 700)
    add_jobs(sqlite_host, 3000)
    metadata = as_parquet(sqlite_host, tmp_path / "jobs.parquet").metadata
    assert [metadata.row_group(number).num_rows for number in range(5)] == [700, 700, 700, 700, 200]


@pytest.mark.parametrize("wrong", [{"segment": "rich"}, {"batch_size": "huge"}])
def test_unknown_selections_are_refused(sqlite_host: Host, wrong: dict[str, Any]) -> None:
    """The error names the possible values."""
    with pytest.raises(ValueError, match="must be one of all, "):
        Export(sqlite_host.url, **wrong)


def test_an_empty_export_is_valid(host: Host) -> None:
    """It is a header in CSV, an empty list in JSON, and empty in JSON Lines."""
    assert exported(host, "csv") == ",".join(COLUMNS) + "\r\n"
    assert (exported(host, "json"), exported(host, "jsonl")) == ("[]\n", "")


texts = st.text(st.characters(codec="utf-8", exclude_characters="\0"))


@given(st.lists(texts, min_size=1, max_size=5))
def test_no_cell_is_a_formula(values: list[str]) -> None:
    """Any text is escaped so that it can be read again."""
    rows = [{"name": value} for value in values]
    cells = [row["name"] for row in csv.DictReader(io.StringIO("".join(as_csv(rows, ["name"])), newline=""))]
    assert [cell.removeprefix("'") for cell in cells] == [value.removeprefix("'") for value in values]
    assert not any(cell.lstrip()[:1] in ("=", "+", "-", "@") for cell in cells if cell)


INVISIBLE = (
    "\N{ZERO WIDTH NO-BREAK SPACE}",
    "\N{ZERO WIDTH SPACE}",
    "\N{LEFT-TO-RIGHT MARK}",
    "\N{COMBINING GRAVE ACCENT}",
    "\N{NO-BREAK SPACE}",
    "\N{IDEOGRAPHIC SPACE}",
    "\N{SOFT HYPHEN}",
    "\t",
    "\r",
    "\x1f",
)
OTHER_WIDTHS = (
    "\N{FULLWIDTH EQUALS SIGN}",
    "\N{FULLWIDTH PLUS SIGN}",
    "\N{FULLWIDTH HYPHEN-MINUS}",
    "\N{FULLWIDTH COMMERCIAL AT}",
    "\N{SMALL EQUALS SIGN}",
    "\N{SMALL HYPHEN-MINUS}",
    "\N{SUPERSCRIPT PLUS SIGN}",
    "\N{MINUS SIGN}",
)


@given(st.lists(st.sampled_from(INVISIBLE), max_size=3), st.sampled_from((*OTHER_WIDTHS, *"=+-@")), texts)
def test_characters_that_a_spreadsheet_ignores_hide_no_formula(
    invisible: list[str], start: str, rest: str
) -> None:
    """Signs of another width, and invisible characters before a sign, are recognised."""
    rows = [{"name": "".join(invisible) + start + rest}]
    (row,) = csv.DictReader(io.StringIO("".join(as_csv(rows, ["name"])), newline=""))
    assert row["name"].startswith("'")


@given(st.text("abcXYZ019 äé中", min_size=1))
def test_ordinary_text_is_exported_as_it_is(text: str) -> None:
    """A name in any alphabet gets no apostrophe."""
    rows = [{"name": text}]
    (row,) = csv.DictReader(io.StringIO("".join(as_csv(rows, ["name"])), newline=""))
    assert row["name"] == text


def test_json_is_streamed() -> None:
    """The first row is written before the last one is read."""

    def rows() -> Iterator[dict[str, Any]]:
        yield {"a": 1}
        raise RuntimeError("not yet")

    assert next(as_json(rows(), [])) == '[{"a": 1}'


@pytest.mark.parametrize("host", ["sqlite", "psycopg"], indirect=True)
def test_memory_does_not_grow_with_the_rows(host: Host) -> None:
    """Ten times the jobs take about the same memory."""
    peaks = []
    for first, count in ((0, 2_000), (1, 18_000)):
        add_jobs(host, count, user_ref=first)
        tracemalloc.start()
        with Export(host.url) as export:
            assert sum(1 for _ in export.pieces("csv")) == export.count() + 1
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.5 * peaks[0]


def test_an_export_does_not_block_writers(host: Host) -> None:
    """The host and telemetry's writer go on during a download."""
    add_jobs(host, 3000)
    writer = create_engine(host.url)
    with Export(host.url) as export:
        pieces = export.pieces("csv")
        next(pieces), next(pieces)
        with writer.begin() as connection:
            connection.execute(runs.update().values(status="failed"))
        assert sum(1 for _ in pieces) == 2999
    writer.dispose()


def flask(host: Host, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "host.py").write_text("import flask\napp = flask.Flask('host')\napp.secret_key = 's'\n")
    command = ("-m", "flask", "--app", "host", "telemetry", "export", *options)
    return fresh.run(
        *command,
        cwd=folder,
        env={"TELEMETRY_DATABASE_URL": host.url, "TELEMETRY_SPOOL_DIR": str(folder / "spool")},
    )


def test_the_command_writes_to_standard_output_or_a_file(sqlite_host: Host, tmp_path: Path) -> None:
    """Options limit the period; contradicting ones are refused."""
    add_jobs(sqlite_host, 3)
    piped = flask(
        sqlite_host, tmp_path, "--format", "jsonl", "--since", "2026-11-25", "--until", "2026-11-26"
    )
    written = flask(sqlite_host, tmp_path, "--output", "jobs.csv")
    none = flask(sqlite_host, tmp_path, "--until", "2026-01-01", "--output", "none.csv")
    both = flask(sqlite_host, tmp_path, "--since", "2026-01-01", "--days", "3")

    assert [json.loads(line)["cost_pico"] for line in piped.stdout.splitlines()] == [
        10**9 + 2,
        10**9 + 1,
        10**9,
    ]
    assert written.stdout.endswith("3 jobs in jobs.csv.\n")
    assert len((tmp_path / "jobs.csv").read_text().splitlines()) == 4
    assert none.stdout == "0 jobs in none.csv.\n"
    assert [done.returncode for done in (piped, written, none, both)] == [0, 0, 0, 2]


def test_links_pipes_and_devices_can_be_written_to(sqlite_host: Host, tmp_path: Path) -> None:
    """A link still points to its file afterwards, and - is standard output."""
    add_jobs(sqlite_host, 3)
    environment = {"TELEMETRY_DATABASE_URL": sqlite_host.url}

    def write(output: Path | str) -> bytes:
        done = CliRunner().invoke(cli, ["export", "--output", str(output)], env=environment)
        assert done.exit_code == 0, done.output
        return done.stdout_bytes

    whole = write("-")
    assert len(whole.splitlines()) == 4

    file, link, dangling = (tmp_path / name for name in ("file", "link", "dangling"))
    file.write_text("old")
    link.symlink_to("file")
    dangling.symlink_to("later")
    assert write(link).endswith(b"3 jobs in %b.\n" % bytes(link))
    write(dangling)
    assert link.is_symlink()
    assert dangling.is_symlink()
    assert file.read_bytes() == (tmp_path / "later").read_bytes() == whole

    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with subprocess.Popen(["cat", pipe], stdout=subprocess.PIPE) as reader:
        try:
            write(pipe)
            assert pipe.is_fifo()
            assert reader.communicate(timeout=300)[0] == whole
        finally:
            reader.kill()

    null = tmp_path / "null"
    null.symlink_to("/dev/null")
    assert write(null) == b""
    assert null.is_char_device()
    assert flask(sqlite_host, tmp_path, "--output", "/dev/stdout").stdout.encode() == whole.replace(
        b"\r\n", b"\n"
    )
    assert list(tmp_path.glob(".*.new")) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ("--since", "2026-10-02", "--until", "2026-10-01"),
            "--until: must be later than --since, 2026-10-02",
        ),
        (("--since", "2999-01-01"), "--since: is in the future"),
    ],
)
def test_the_command_refuses_an_empty_period(sqlite_host: Host, words: tuple[str, ...], message: str) -> None:
    """A period that ends before it begins, or is in the future, is an error and makes no file."""
    done = CliRunner().invoke(cli, ["export", *words], env={"TELEMETRY_DATABASE_URL": sqlite_host.url})
    assert (done.exit_code, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"Error: Invalid value for {message}"


def test_the_command_writes_parquet_if_its_extra_is_installed(sqlite_host: Host, tmp_path: Path) -> None:
    """It writes a file or into a pipe; without the extra, one line names it, and there is no file."""
    add_jobs(sqlite_host, 3)
    written = flask(sqlite_host, tmp_path, "--format", "parquet", "--output", "jobs.parquet")
    assert written.stdout.endswith("3 jobs in jobs.parquet.\n")
    assert pq.ParquetFile(tmp_path / "jobs.parquet").read().num_rows == 3

    piped = CliRunner().invoke(
        cli, ["export", "--format", "parquet"], env={"TELEMETRY_DATABASE_URL": sqlite_host.url}
    )
    assert pq.read_table(io.BytesIO(piped.stdout_bytes)).num_rows == 3

    (tmp_path / "pyarrow.py").write_text("raise ImportError('No module named pyarrow')")
    command = [sys.executable, "-m", "flask", "--app", "host", "telemetry", "export", "--format", "parquet"]
    refused = subprocess.run(
        [*command, "--output", "more.parquet"],
        cwd=tmp_path,
        env={"TELEMETRY_DATABASE_URL": sqlite_host.url},
        capture_output=True,
        text=True,
    )
    assert refused.returncode == 1
    assert refused.stderr.splitlines() == [
        "Error: Parquet needs analysis-telemetry[parquet] (No module named pyarrow)"
    ]
    assert list(tmp_path.glob("*more*")) + list(tmp_path.glob(".more*")) == []
