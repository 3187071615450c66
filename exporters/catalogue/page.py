"""The reference of every metric and every column, in Markdown: what `flask telemetry catalogue` writes.

It is made from the declarations (:mod:`telemetry.conventions`, :mod:`exporters.sql.schema`), so that it says
what is there. No database is needed.
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
"""The first line of every catalogue."""

_HEAD: Final = f"""\
{MARK}

# Metrics and columns

Everything that is measured, and everything that is stored, to look things up in.
"""

_METRICS: Final = """
## Metrics

A process exports its own metrics, by OTLP or to Prometheus. Their names in Prometheus are the same on both
ways; a histogram is `…_bucket`, `…_sum` and `…_count`. The instrumentations beside telemetry measure too:
`gen_ai.client.…` is in [Prometheus](../how-to/prometheus.md#standard-metrics), `http.server.…` in their own
documentation.

The metrics from `analysis.overrides.7d.ratio` on are queried from the database, or come from the host's own
code: one process exports them for all, and in every other they are absent. Days are those of
TELEMETRY_TIMEZONE. What is not known is absent, not 0.
"""

_LABELS: Final = f"""
### Labels

A label whose values end in … is open: it takes {LABEL_CAP} values of a process, and what comes after them is
`other`. No label ever identifies a user, a run, a document or a trace.
"""

_TABLES: Final = """
## Tables

Times are naive and in UTC, JSON is text, and a `…_ref` is the id of a row of the host's without a foreign
key, so that nothing of ours stands in the way of a deletion. Types are PostgreSQL's; SQLite has its own. The
history of the migrations stands in `telemetry_alembic_version`.
"""

_HOST: Final = """
## Columns of the host's tables

They are added where the host has none of that name; `telemetry_added_objects` lists what was added, and
nothing else is ever written.
"""

_VIEWS: Final = """
## Views

What dashboards, exports and reports read. They leave synthetic runs out.
"""


def repository() -> Path | None:
    """Return where this project is checked out; None where it is merely installed."""
    home = Path(__file__).resolve().parents[2]
    return home if (home / "migrations" / "env.py").is_file() else None


def place() -> Path | None:
    """Return where the page stands in the repository."""
    home = repository()
    return home and home / "docs" / "reference" / "catalogue.md"


def catalogue() -> str:
    """Return the page.

    Raises:
        LookupError: for something that does not say what it means; the message names it and the place.
    """
    return "".join(line + "\n" for part in _parts() for line in part)


def _parts() -> Iterator[Iterable[str]]:
    yield _HEAD.splitlines()
    yield _METRICS.splitlines()
    yield from (_metrics(), _buckets())
    yield _LABELS.splitlines()
    yield _labels()
    yield _TABLES.splitlines()
    for module in tables.MODULES:
        meanings = _meanings(module)
        for name, table in _named(module):
            yield _section(table.name, meanings[name], table.columns)
    yield _HOST.splitlines()
    meanings = _meanings(host_schema)
    for table_name, columns in tables.HOST_COLUMNS.items():
        yield _section(table_name, meanings[f"{table_name.upper()}_COLUMNS"], columns)
    yield _VIEWS.splitlines()
    found = definitions()
    for view_name in tables.VIEWS:
        yield _view(view_name, found[view_name].columns)


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
    found: dict[tuple[str, c.Label], list[str]] = {}
    for metric in c.METRICS:
        for name in metric.labels:
            found.setdefault((name, metric.label(name)), []).append(f"`{metric.name}`")
    rows = [
        (f"`{name}`", label.meaning, _values(label), ", ".join(metrics))
        for (name, label), metrics in sorted(found.items(), key=lambda entry: entry[0][0])
    ]
    return _table(("label", "meaning", "values", "of"), rows)


def _values(label: c.Label) -> str:
    values = [f"`{value}`" for value in label.values] + (["…"] if label.is_open else [])
    by = f" (`{label.setting}`)" if label.setting else ""
    added = f" and those of `{label.added_by}`" if label.added_by else ""
    return ", ".join(values) + by + added


def _named(module: ModuleType) -> list[tuple[str, sa.Table]]:
    """Return our tables with the names they have in a module, in the order in which they stand there."""
    return [
        (name, value)
        for name, value in vars(module).items()
        if isinstance(value, sa.Table) and value.metadata is tables.metadata
    ]


def _meanings(module: ModuleType) -> dict[str, str]:
    """Return the docstring below each name that is assigned in a module."""
    found = {}
    body = ast.parse(inspect.getsource(module)).body
    for entry, following in zip(body, body[1:], strict=False):
        target = entry.targets[0] if isinstance(entry, ast.Assign) else getattr(entry, "target", None)
        if isinstance(target, ast.Name) and isinstance(following, ast.Expr):
            found[target.id] = " ".join(str(ast.literal_eval(following.value)).split()).replace("``", "`")
    return found


def _view(name: str, columns: Iterable[str]) -> Iterator[str]:
    view = described(name)
    try:
        found = [view.column(column) for column in columns]
    except LookupError as error:
        raise LookupError(f"{name}.{error.args[0]}") from None
    yield from _section(name, view.meaning, found)


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
    """Return what PostgreSQL calls a type."""
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
