"""Replace the variables and macros in the SQL of a panel as Grafana does, before PostgreSQL sees it.

The rules are those of Grafana's own data source for PostgreSQL: a macro ends at the first closing
parenthesis, its arguments are split at commas, and one that is unknown is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

VARIABLE: Final = re.compile(r"\$\{(\w+)(?::(\w+))?\}|\$([A-Za-z_]\w*)(?!\w*\()|\[\[(\w+)(?::(\w+))?\]\]")
MACRO: Final = re.compile(r"\$([_a-zA-Z0-9]+)\(([^)]*)\)")
_SECONDS: Final = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800, "M": 2592000, "y": 31536000}


class BadQuery(ValueError):
    """A query that Grafana would refuse, or would not mean what it says."""


@dataclass(frozen=True)
class Moment:
    """What a panel is asked with: a period and the values of the variables."""

    start: datetime
    end: datetime
    values: Mapping[str, str] = field(default_factory=dict)
    interval: str = "1d"

    @classmethod
    def last(cls, days: float, values: Mapping[str, str]) -> Moment:
        """Return the last ``days`` up to now."""
        end = datetime.now(UTC)
        return cls(end - timedelta(days=days), end, values)


def expand(sql: str, moment: Moment) -> str:
    """Return the SQL that Grafana sends to PostgreSQL.

    Raises:
        BadQuery: if a variable or a macro is unknown, or a variable is not quoted.
    """
    text = VARIABLE.sub(lambda found: _value(found, moment), sql)
    text = re.sub(r"\$__timeGroup\(([^)]*)\)(?=\s*,)", r"$__timeGroupAlias(\1)", text)
    return MACRO.sub(lambda found: _macro(found, moment), text)


def _value(found: re.Match[str], moment: Moment) -> str:
    name, form = found[1] or found[3] or found[4], found[2] or found[5]
    if name == "__interval":
        return moment.interval
    if name.startswith("__"):
        return found[0]
    if name not in moment.values:
        raise BadQuery(f"{name} is no variable")
    if form not in ("sqlstring", "singlequote"):
        raise BadQuery(f"{found[0]} is not quoted: write ${{{name}:sqlstring}}")
    return "'" + moment.values[name].replace("'", "''") + "'"


def _macro(found: re.Match[str], moment: Moment) -> str:
    name, arguments = found[1], [each.strip() for each in found[2].split(",")]
    column = arguments[0]
    start, end = _literal(moment.start), _literal(moment.end)
    epochs = int(moment.start.timestamp()), int(moment.end.timestamp())
    if name in ("__timeGroup", "__timeGroupAlias"):
        seconds = _duration(arguments[1])
        group = f"floor(extract(epoch from {column})/{seconds})*{seconds}"
        return group + (' AS "time"' if name.endswith("Alias") else "")
    known = {
        "__time": f'{column} AS "time"',
        "__timeEpoch": f'extract(epoch from {column}) as "time"',
        "__timeFilter": f"{column} BETWEEN {start} AND {end}",
        "__timeFrom": start,
        "__timeTo": end,
        "__unixEpochFilter": f"{column} >= {epochs[0]} AND {column} <= {epochs[1]}",
        "__unixEpochFrom": str(epochs[0]),
        "__unixEpochTo": str(epochs[1]),
    }
    if name not in known:
        raise BadQuery(f"${name} is no macro that this project uses")
    return known[name]


def _literal(moment: datetime) -> str:
    return f"'{moment.astimezone(UTC):%Y-%m-%dT%H:%M:%S.%fZ}'"


def _duration(text: str) -> int:
    found = re.fullmatch(r"'?(\d+)([smhdwMy])'?", text)
    if found is None:
        raise BadQuery(f"{text} is no duration")
    return int(found[1]) * _SECONDS[found[2]]
