"""Results of queries as the frames that Grafana's data sources make of them.

The rules are those of the sources: a result over time with a column ``metric`` becomes one column for each
name in it, and a series of Prometheus has the name of its legend.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Final

Json = dict[str, object]
"""A part of a dashboard, or a frame, as JSON has it."""
Cell = float | str | bool | None

TIMES: Final = {"date", "timestamp", "timestamptz"}
NUMBERS: Final = {"int2", "int4", "int8", "float4", "float8", "numeric"}


def of_rows(
    ref_id: str, names: Sequence[str], types: Sequence[str], rows: Sequence[Sequence[object]]
) -> Json:
    """Return a result of SQL as a table.

    Args:
        ref_id: the letter of the query.
        names: the names of the columns.
        types: their types, as PostgreSQL calls them.
        rows: the values.
    """
    fields = [
        field(name, _kind(kind), [cell(row[place]) for row in rows])
        for place, (name, kind) in enumerate(zip(names, types, strict=True))
    ]
    return {"refId": ref_id, "fields": fields}


def over_time(frame: Json) -> Json:
    """Return a table with a time as columns over time: one for each value of the column ``metric``."""
    fields: list[Json] = frame["fields"]  # type: ignore[assignment]
    time = next(each for each in fields if each["type"] == "time")
    time["name"] = "Time"
    names = next((each for each in fields if each["name"] == "metric"), None)
    if names is None:
        return {**frame, "fields": [time, *(each for each in fields if each is not time)]}
    (value,) = (each for each in fields if each not in (time, names))
    moments = sorted(set(_values(time)))  # type: ignore[type-var]
    places = {moment: place for place, moment in enumerate(moments)}
    columns: dict[str, list[Cell]] = {}
    for moment, name, number in zip(_values(time), _values(names), _values(value), strict=True):
        columns.setdefault(str(name), [None] * len(moments))[places[moment]] = number
    series = [field(name, "number", numbers) for name, numbers in columns.items()]
    return {**frame, "fields": [field("Time", "time", moments), *series]}


def of_series(
    ref_id: str, legend: str, series: Sequence[Mapping[str, object]], step: float = math.inf
) -> list[Json]:
    """Return a result of Prometheus over time: a frame for each series.

    Where there is no point for longer than ``step`` seconds is a null, so that no line leads across.
    """
    frames: list[Json] = []
    for each in series:
        labels: dict[str, str] = each["metric"]  # type: ignore[assignment]
        points = list(_with_gaps(each["values"], step))  # type: ignore[arg-type]
        value = field("Value", "number", [number(text) for _, text in points])
        value |= {"labels": labels, "config": {"displayNameFromDS": _named(legend, labels)}}
        times = field("Time", "time", [float(second) * 1000 for second, _ in points])
        frames.append({"refId": ref_id, "fields": [times, value]})
    return frames


def of_samples(ref_id: str, samples: Sequence[Mapping[str, object]]) -> list[Json]:
    """Return a result of Prometheus at one moment as a table: time, labels and value."""
    if not samples:
        return []
    metrics: list[dict[str, str]] = [each["metric"] for each in samples]  # type: ignore[misc]
    points: list[tuple[float, str]] = [each["value"] for each in samples]  # type: ignore[misc]
    labels = sorted({name for metric in metrics for name in metric})
    fields = [
        field("Time", "time", [float(second) * 1000 for second, _ in points]),
        *(field(name, "string", [metric.get(name, "") for metric in metrics]) for name in labels),
        field("Value", "number", [number(text) for _, text in points]),
    ]
    return [{"refId": ref_id, "fields": fields}]


def _with_gaps(points: Sequence[tuple[float, str]], step: float) -> Iterator[tuple[float, str]]:
    last = math.inf
    for second, text in points:
        if second - last > 1.5 * step:
            yield last + step, "NaN"
        yield second, text
        last = second


def field(name: str, kind: str, values: Sequence[Cell]) -> Json:
    """Return a column."""
    return {"name": name, "type": kind, "values": list(values)}


def cell(value: object) -> Cell:
    """Return a value of PostgreSQL as JSON has it; a time in milliseconds, without a zone in UTC."""
    if isinstance(value, datetime):
        return (value if value.tzinfo else value.replace(tzinfo=UTC)).timestamp() * 1000
    if isinstance(value, date):
        return datetime(value.year, value.month, value.day, tzinfo=UTC).timestamp() * 1000
    if isinstance(value, Decimal | int) and not isinstance(value, bool):
        return float(value)
    return value if value is None or isinstance(value, float | bool) else str(value)


def number(text: str) -> float | None:
    """Return a value of Prometheus; JSON has no NaN."""
    value = float(text)
    return value if value == value and abs(value) != float("inf") else None


def _kind(name: str) -> str:
    return (
        "time"
        if name in TIMES
        else "number"
        if name in NUMBERS
        else "boolean"
        if name == "bool"
        else "string"
    )


def _values(column: Json) -> list[Cell]:
    values: list[Cell] = column["values"]  # type: ignore[assignment]
    return values


def _named(legend: str, labels: Mapping[str, str]) -> str:
    if legend != "__auto":
        return re.sub(r"\{\{\s*(\w+)\s*\}\}", lambda found: labels.get(found[1], ""), legend)
    inner = ", ".join(f'{name}="{value}"' for name, value in labels.items() if name != "__name__")
    return labels.get("__name__", "") + (f"{{{inner}}}" if inner else "")
