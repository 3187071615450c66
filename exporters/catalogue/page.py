"""The reference page of all metrics and columns, in Markdown, for `flask telemetry catalogue`.

It is generated from the declarations in :mod:`telemetry.conventions` and :mod:`exporters.sql.schema`; no
database is needed.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, Final

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql

from exporters.metrics.totals import LABEL_CAP
from exporters.sql.schema import host as host_schema
from exporters.sql.schema import tables
from exporters.sql.schema.columns import UNIT
from telemetry import conventions as c

from .views import definitions, described

MARK: Final = "<!-- Written by `flask telemetry catalogue`: change the declarations, not this page. -->"
"""First line of the page, by which it is recognised."""

_HEAD: Final = f"""\
{MARK}

# Metrics and columns

Everything that is measured, and everything that is stored.
"""

_METRICS: Final = """
## Metrics

Each process reports its own metrics, by OTLP or to Prometheus. A histogram is `…_bucket`, `…_sum` and
`…_count` in Prometheus; where Prometheus receives OTLP itself, gauges with unit 1 also end in `_ratio`. The
metrics of other instrumentations (`http.server.…`, `gen_ai.client.…`) are described in their documentation.
"""

_LABELS: Final = f"""
### Labels

A label whose values end in … is open: a process reports {LABEL_CAP} of its values, and all others as `other`.
No label contains a user, a run, a document or a trace.
"""

_TABLES: Final = """
## Tables

Times are naive and in UTC, JSON is text, and a `…_ref` is the id of a row of the host without a foreign key,
so that it never blocks a deletion. Types are those of PostgreSQL; SQLite has its own. The revision of the
migrations is in `telemetry_alembic_version`.
"""

_HOST: Final = """
## Columns of the host's tables

They are added where the host has no column of that name. `telemetry_added_objects` lists what was added, and
only these columns are ever written.
"""

_VIEWS: Final = """
## Views

Dashboards, exports and reports read these views, which leave out synthetic runs.
"""


def repository() -> Path | None:
    """Return the checkout of this project; None if it is installed without one."""
    home = Path(__file__).resolve().parents[2]
    return home if (home / "migrations" / "env.py").is_file() else None


def place() -> Path | None:
    """Return the path of the page in the checkout; None without one."""
    home = repository()
    return home and home / "docs" / "reference" / "catalogue.md"


def catalogue() -> str:
    """Return the page.

    Raises:
        LookupError: if something has no description; the message names it and where to add one.
    """
    return "".join(line + "\n" for part in _parts() for line in part)


def _parts() -> Iterator[Iterable[str]]:
    yield _HEAD.splitlines()
    yield _METRICS.splitlines()
    yield from (_metrics(), _buckets())
    yield _LABELS.splitlines()
    yield _labels()
    yield _TABLES.splitlines()
    meanings = _meanings(tables)
    for name, table in _named(tables):
        yield _section(table.name, meanings[name], table.columns)
    yield _HOST.splitlines()
    meanings = _meanings(host_schema)
    for table_name, columns in tables.HOST_COLUMNS.items():
        yield _section(table_name, meanings[f"{table_name.upper()}_COLUMNS"], columns)
    yield _VIEWS.splitlines()
    views = definitions()
    for view_name in tables.VIEWS:
        yield _view(view_name, views[view_name].columns)


def _metrics() -> Iterator[str]:
    rows = [
        (
            f"`{metric.name}`<br>`{metric.prometheus_name}`",
            metric.instrument,
            metric.unit,
            ", ".join(f"`{label}`" for label in metric.labels),
            metric.description,
        )
        for metric in c.METRICS
    ]
    return _table(("OpenTelemetry, Prometheus", "instrument", "unit", "labels", "meaning"), rows)


def _buckets() -> Iterator[str]:
    rows = [
        (f"`{metric.name}`", ", ".join(map(str, metric.buckets))) for metric in c.METRICS if metric.buckets
    ]
    return _table(("histogram", "upper bounds of its buckets, in its unit"), rows)


def _labels() -> Iterator[str]:
    metrics_by_label: dict[tuple[str, c.Label], list[str]] = {}
    for metric in c.METRICS:
        for name in metric.labels:
            metrics_by_label.setdefault((name, metric.label(name)), []).append(f"`{metric.name}`")
    rows = [
        (f"`{name}`", label.meaning, _values(label), ", ".join(metrics))
        for (name, label), metrics in sorted(metrics_by_label.items(), key=lambda entry: entry[0][0])
    ]
    return _table(("label", "meaning", "values", "of"), rows)


def _values(label: c.Label) -> str:
    values = [f"`{value}`" for value in label.values] + (["…"] if label.is_open else [])
    by = f" (`{label.setting}`)" if label.setting else ""
    return ", ".join(values) + by


def _named(module: ModuleType) -> list[tuple[str, sa.Table]]:
    """Return the tables of telemetry in a module with their names in the code, in the order of the code."""
    return [
        (name, value)
        for name, value in vars(module).items()
        if isinstance(value, sa.Table) and value.metadata is tables.metadata
    ]


def _meanings(module: ModuleType) -> dict[str, str]:
    """Return the docstrings below the assignments in a module, by name."""
    meanings = {}
    body = ast.parse(inspect.getsource(module)).body
    for entry, following in zip(body, body[1:], strict=False):
        target = entry.targets[0] if isinstance(entry, ast.Assign) else getattr(entry, "target", None)
        if isinstance(target, ast.Name) and isinstance(following, ast.Expr):
            meanings[target.id] = " ".join(str(ast.literal_eval(following.value)).split()).replace("``", "`")
    return meanings


def _view(name: str, columns: Iterable[str]) -> Iterator[str]:
    view = described(name)
    try:
        described_columns = [view.column(column) for column in columns]
    except LookupError as error:
        raise LookupError(f"{name}.{error.args[0]}") from None
    yield from _section(name, view.meaning, described_columns)


def _section(name: str, meaning: str, columns: Iterable[sa.Column[Any]]) -> Iterator[str]:
    yield from ("", f"### `{name}`", "", meaning)
    yield from _table(
        ("column", "type", "unit", "meaning"),
        [
            (f"`{column.name}`", type_name(column.type), column.info.get(UNIT, ""), _meaning(name, column))
            for column in columns
        ],
    )


def _meaning(table_name: str, column: sa.Column[Any]) -> str:
    if not column.doc:
        raise LookupError(f"{table_name}.{column.name} has no meaning: add doc=… where it is declared")
    return column.doc


def type_name(kind: Any) -> str:
    """Return the name of a type in PostgreSQL."""
    name: str = kind.compile(dialect=postgresql.dialect())  # type: ignore[no-untyped-call]
    return name.removesuffix(" WITHOUT TIME ZONE").replace(", ", ",")


def _table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> Iterator[str]:
    yield ""
    yield _row(titles)
    yield "|" + "---|" * len(titles)
    for row in rows:
        yield _row([cell.replace("|", "\\|") for cell in row])


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |".replace("|  |", "| |")
