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

from exporters.alert_rules.alert import Alert
from exporters.alert_rules.alerts.failures import limit_in
from exporters.alert_rules.alerts.pipeline import TODAY_PERIODS, longest_gap
from exporters.alert_rules.expression import number
from exporters.alert_rules.groups import groups
from telemetry.conventions.gauges import DAYS_PERIODS
from telemetry.settings import Settings

_MARK: Final = re.compile(r"⟦(\w+)(?::([^⟧]*))?⟧")
NO_LIMIT: Final = 1e18
"""A limit that no figure reaches, for budgets that do not exist."""


def _dollars(amount: float) -> str:
    if not amount:
        return "none"
    return f"${amount:,.0f}" if amount == int(amount) else f"${amount:,.2f}"


def _alerts(settings: Settings, *, of_application: bool) -> list[Alert]:
    """Return the alerts about the application, or those about the programs around it."""
    alerts = (alert for group in groups(settings) for alert in group.alerts)
    return [alert for alert in alerts if (alert.service == settings.alert_job) == of_application]


def _pattern(names: Iterable[str]) -> str:
    return "|".join(sorted({*names}))


VALUES: Final[Mapping[str, Callable[[Settings], float | str]]] = {
    "app_url": lambda settings: settings.app_url.rstrip("/"),
    "job": lambda settings: settings.alert_job,
    "postgresql_uid": lambda settings: settings.grafana_postgresql_uid,
    "prometheus_uid": lambda settings: settings.grafana_prometheus_uid,
    "traces_uid": lambda settings: settings.grafana_traces_uid,
    "traces_type": lambda settings: settings.grafana_traces_type,
    "runbooks_url": lambda settings: settings.runbooks_url.rstrip("/"),
    # The names of our alerts, as patterns, by what they are about.
    "application_alerts": lambda settings: _pattern(
        alert.name for alert in _alerts(settings, of_application=True)
    ),
    "platform_alerts": lambda settings: _pattern(
        alert.name for alert in _alerts(settings, of_application=False)
    ),
    "platform_services": lambda settings: _pattern(
        alert.service for alert in _alerts(settings, of_application=False)
    ),
    # As people read it, as an expression needs it, and as the limit of a colour.
    "budget_month": lambda settings: _dollars(settings.budget_month_usd),
    "budget_month_usd": lambda settings: number(settings.budget_month_usd),
    "budget_month_limit": lambda settings: settings.budget_month_usd or NO_LIMIT,
    "budget_month_warning": lambda settings: (
        round(settings.budget_month_usd * settings.budget_warning_share, 9) or NO_LIMIT
    ),
    "budget_month_spare": lambda settings: round(
        settings.budget_month_usd * (1 - settings.budget_warning_share), 9
    ),
    "budget_day_warning": lambda settings: (
        round(settings.budget_day_usd * settings.budget_warning_share, 9) or NO_LIMIT
    ),
    "budget_day_limit": lambda settings: settings.budget_day_usd or NO_LIMIT,
    "budget_warning_share": lambda settings: settings.budget_warning_share,
    "rate_limited_jobs": lambda settings: float(settings.rate_limited_jobs),
    # An alert is raised above so many; a colour applies from its limit on.
    "rate_limited_jobs_alert": lambda settings: settings.rate_limited_jobs + 1.0,
    "interrupted_jobs": lambda settings: float(settings.interrupted_jobs),
    "interrupted_jobs_alert": lambda settings: settings.interrupted_jobs + 1.0,
    "failed_jobs_objective": lambda settings: settings.failed_jobs_objective,
    "failed_jobs_1h": lambda settings: limit_in("1h", settings),
    "failed_jobs_1d": lambda settings: limit_in("1d", settings),
    "override_factor": lambda settings: settings.override_factor,
    "headroom_share": lambda settings: settings.headroom_share,
    "spool_age_seconds": lambda settings: settings.spool_age_seconds,
    "health_log_seconds": lambda settings: settings.health_log_seconds,
    "collector_queue_share": lambda settings: settings.collector_queue_share,
    "gauges_today_seconds": lambda settings: float(longest_gap(settings, TODAY_PERIODS)),
    "gauges_days_seconds": lambda settings: float(longest_gap(settings, DAYS_PERIODS)),
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
