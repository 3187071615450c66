"""What a rule is: an alert, or a recording that alerts use."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Severity = Literal["critical", "warning", "info"]
"""``critical``: someone must act now. ``warning``: someone must look. ``info``: worth knowing."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alert:
    """A rule that raises an alert."""

    name: str
    severity: Severity
    expression: str
    """PromQL; every series that it returns is an alert."""
    summary: str
    """One sentence without variables."""
    description: str
    """What is the case, with the figures, as a template of Prometheus."""
    dashboard: str
    """The uid of the dashboard to open."""
    service: str
    """What is affected: the application, or one of the programs around it."""
    settings: tuple[str, ...] = ()
    """The settings that its thresholds come from."""
    for_seconds: int = 0
    """How long the expression must hold."""
    at_once: str = ""
    """Why it need not hold for a time."""
    keep_seconds: int = 0
    """How long it stays active after that, so that what flaps is not sent twice."""

    def __post_init__(self) -> None:
        """Refuse an alert that neither waits nor says why not."""
        if bool(self.for_seconds) == bool(self.at_once):
            raise ValueError(f"{self.name} needs for_seconds, or the reason why it does not wait in at_once")


@dataclass(frozen=True, slots=True)
class Recording:
    """A rule that stores the result of an expression under a name: ``level:metric:operations``."""

    name: str
    expression: str


@dataclass(frozen=True, slots=True)
class Group:
    """Rules that are evaluated one after the other; it is also the name of their file."""

    name: str
    interval_seconds: int
    alerts: tuple[Alert, ...]
    recordings: tuple[Recording, ...] = field(default=())
