"""What differs from host to host in a dashboard, and the marks that stand for it where dashboards are built.

A builder writes a :class:`HostValue` instead of a number or a text of the settings. The dashboards of this
project have the default settings there; a list beside them says where, so that others can be filled in
without the builders.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from exporters.alert_rules.expression import number
from telemetry.settings import Settings

_MARK: Final = re.compile(r"⟦(\w+)(?::([^⟧]*))?⟧")
NO_LIMIT: Final = 1e18
"""A limit that no figure reaches, for budgets that do not exist."""


def _dollars(amount: float) -> str:
    if not amount:
        return "none"
    return f"${amount:,.0f}" if amount == int(amount) else f"${amount:,.2f}"


VALUES: Final[Mapping[str, Callable[[Settings], float | str]]] = {
    "app_url": lambda settings: settings.app_url.rstrip("/"),
    "job": lambda settings: settings.alert_job,
    "postgresql_uid": lambda settings: settings.grafana_postgresql_uid,
    "prometheus_uid": lambda settings: settings.grafana_prometheus_uid,
    "traces_uid": lambda settings: settings.grafana_traces_uid,
    "traces_type": lambda settings: settings.grafana_traces_type,
    # As people read it, as an expression needs it, and as the limit of a colour.
    "budget_month": lambda settings: _dollars(settings.budget_month_usd),
    "budget_month_usd": lambda settings: number(settings.budget_month_usd),
    "budget_month_limit": lambda settings: settings.budget_month_usd or NO_LIMIT,
    "budget_month_warning": lambda settings: (
        round(settings.budget_month_usd * settings.budget_warning_share, 9) or NO_LIMIT
    ),
    "budget_day_limit": lambda settings: settings.budget_day_usd or NO_LIMIT,
    "budget_warning_share": lambda settings: settings.budget_warning_share,
    "rate_limited_jobs": lambda settings: float(settings.rate_limited_jobs),
    "rate_limited_jobs_alert": lambda settings: settings.rate_limited_jobs + 1.0,
    "failed_jobs_objective": lambda settings: settings.failed_jobs_objective,
}
"""The values by name."""


@dataclass(frozen=True, slots=True)
class HostValue:
    """A value that the host decides; in a text it leaves a mark, with the format that it is shown in."""

    name: str

    def __post_init__(self) -> None:
        """Refuse a name that is not declared."""
        if self.name not in VALUES:
            raise LookupError(f"{self.name} is no value of the host: declare it in {__name__}")

    def __format__(self, form: str) -> str:
        """Return the mark."""
        return f"⟦{self.name}:{form}⟧" if form else f"⟦{self.name}⟧"

    def __str__(self) -> str:
        """Return the mark."""
        return f"{self}"

    def to_json(self) -> str:
        """Return the mark, for the encoder of Grafana's SDK."""
        return f"{self}"

    def by_default(self) -> float:
        """Return the number with the default settings, by which limits are sorted."""
        return float(VALUES[self.name](Settings()))


def filled(text: str, settings: Settings) -> float | str:
    """Return a text with the values of the settings; one that is a mark alone is the value itself."""
    alone = _MARK.fullmatch(text)
    if alone and alone[2] is None:
        return VALUES[alone[1]](settings)
    return _MARK.sub(lambda mark: format(VALUES[mark[1]](settings), mark[2] or ""), text)


def marked(part: object, place: str = "") -> dict[str, str]:
    """Return the texts with marks in a part of a dashboard, by their place: ``/panels/4/description``."""
    if isinstance(part, str):
        return {place: part} if _MARK.search(part) else {}
    found: dict[str, str] = {}
    for key, value in _entries(part):
        found |= marked(value, f"{place}/{key}")
    return found


def _entries(part: object) -> Iterable[tuple[object, object]]:
    if isinstance(part, dict):
        return part.items()
    return enumerate(part) if isinstance(part, list) else ()


def fill(dashboard: object, places: Mapping[str, str], settings: Settings) -> None:
    """Put the values of the settings into the places of a dashboard.

    Args:
        dashboard: as JSON has it; it is changed.
        places: the texts with marks, by their place.
        settings: those of the host.
    """
    for place, text in places.items():
        *way, last = place.removeprefix("/").split("/")
        part = dashboard
        for key in way:
            part = next(value for name, value in _entries(part) if str(name) == key)
        if isinstance(part, list):
            part[int(last)] = filled(text, settings)
        elif isinstance(part, dict):
            part[last] = filled(text, settings)
