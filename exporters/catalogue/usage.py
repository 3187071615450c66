"""Find the metrics and columns that no panel, rule, view or document uses."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

import sqlalchemy as sa

from exporters.sql.schema import tables as schema
from telemetry.conventions import METRICS, Metric

from .page import repository
from .sources import Passage, files, passage, passages
from .views import Definition, definitions, described

LOOKED_AT: Final = ("README.md", "docs", "grafana", "prometheus", "collector")
"""Default paths in the checkout; missing ones are skipped."""


@dataclass(frozen=True, slots=True)
class Entry:
    """A metric, or a column of a table or view, and what uses it."""

    kind: str
    """``metric`` or ``column``."""
    name: str
    """Name in OpenTelemetry, or of the column with its table."""
    meaning: str
    used_by: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return it as a dictionary for JSON."""
        return asdict(self)


@dataclass(frozen=True, slots=True)
class Usage:
    """The result of a search."""

    entries: tuple[Entry, ...]
    looked_at: tuple[str, ...]
    """Files and views that were searched."""

    @property
    def unused(self) -> list[Entry]:
        """The entries that nothing uses."""
        return [entry for entry in self.entries if not entry.used_by]


@dataclass(slots=True)
class _Index:
    """Passages by the words in them."""

    sources: dict[str, None] = field(default_factory=dict)
    by_word: defaultdict[str, list[Passage]] = field(default_factory=lambda: defaultdict(list))

    def add(self, new: Passage) -> None:
        self.sources[new.source] = None
        for word in new.words:
            self.by_word[word].append(new)

    def naming(self, words: Iterable[str]) -> tuple[str, ...]:
        """Return the sources that contain at least one of the words."""
        return tuple(sorted({entry.source for word in words for entry in self.by_word.get(word, ())}))

    def reading(self, table: str, column: str) -> tuple[str, ...]:
        """Return the sources that name a column together with its table."""
        readers = [entry for entry in self.by_word.get(table, ()) if entry.takes_all or column in entry.words]
        return tuple(sorted({entry.source for entry in readers}))


def usage(paths: Sequence[Path] = ()) -> Usage:
    """Search for all metrics and all columns, including those added to the tables of the host.

    Args:
        paths: directories and files with dashboards, rules, SQL and documents; default: those of the
            checkout, if there is one. The views of telemetry are always searched.

    Raises:
        OSError: if a file cannot be read.
    """
    views = definitions()
    index = _Index()
    for new in _all_passages(paths or _own_paths(), views):
        index.add(new)
    return Usage((*_metrics(index), *_columns(index, views)), tuple(index.sources))


def _own_paths() -> list[Path]:
    home = repository()
    return [home / name for name in LOOKED_AT if (home / name).exists()] if home else []


def _all_passages(paths: Iterable[Path], views: Mapping[str, Definition]) -> Iterator[Passage]:
    for path in files(paths):
        yield from passages(path)
    for name, view in views.items():
        yield passage(f"view {name}", view.query)


def _metrics(index: _Index) -> Iterator[Entry]:
    for metric in METRICS:
        yield Entry("metric", metric.name, metric.description, index.naming(names(metric)))


def names(metric: Metric) -> frozenset[str]:
    """Return the names that a metric may have: its own, and those of its series in Prometheus."""
    plain = metric.name.replace(".", "_")
    bases = {metric.name, plain, metric.prometheus_name, metric.prometheus_name.removesuffix("_total")}
    if metric.instrument == "histogram":
        return frozenset(base + end for base in bases for end in ("", "_bucket", "_sum", "_count"))
    ends = ("", "_total", "_created") if metric.instrument == "counter" else ("",)
    return frozenset(base.removesuffix("_total") + end for base in bases for end in ends)


def _columns(index: _Index, views: Mapping[str, Definition]) -> Iterator[Entry]:
    for table in schema.metadata.tables.values():
        yield from (_column(index, table.name, column) for column in table.columns)
    for name, columns in schema.HOST_COLUMNS.items():
        yield from (_column(index, name, column) for column in columns)
    for name in schema.VIEWS:
        view = described(name)
        yield from (_column(index, name, view.column(column)) for column in views[name].columns)


def _column(index: _Index, table: str, column: sa.Column[Any]) -> Entry:
    used_by = index.reading(table, column.name)
    return Entry("column", f"{table}.{column.name}", column.doc or "", used_by)
