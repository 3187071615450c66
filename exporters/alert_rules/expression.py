"""Parts of PromQL expressions, with the names of metrics from their declarations.

Series of several processes are aggregated to one: where metrics are pushed, those of a process that ended
are visible for five more minutes, and after a deployment labels such as the version differ.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from telemetry.conventions import Metric
from telemetry.settings import Settings


def number(value: float) -> str:
    """Return a number without an exponent or a needless fraction."""
    return str(int(value)) if value == int(value) else repr(value)


def product(factor: float, value: float) -> str:
    """Return the product of two settings, without the noise of binary fractions."""
    return number(round(factor * value, 9))


@dataclass(frozen=True, slots=True)
class Application:
    """The metrics of the application, selected by its label ``job``."""

    job: str

    @classmethod
    def of(cls, settings: Settings) -> Application:
        """Return the application that the settings name."""
        return cls(settings.alert_job)

    def series(self, metric: Metric, *matchers: str, suffix: str = "") -> str:
        """Return the selector of a metric.

        Args:
            metric: the metric.
            matchers: further matchers, such as ``status="429"``.
            suffix: of one of the series of a histogram, such as ``_count``.

        Raises:
            LookupError: if the metric has no such label.
        """
        for matcher in matchers:
            _insist_on_label(metric, matcher)
        matched = ", ".join((f'job="{self.job}"', *matchers))
        return f"{metric.prometheus_name}{suffix}{{{matched}}}"

    def most(self, metric: Metric, *labels: str) -> str:
        """Return the largest value of a gauge over the processes, by its labels."""
        return f"max by ({_by(labels)}) ({self.series(metric)})"

    def least(self, metric: Metric, *labels: str) -> str:
        """Return the smallest value of a gauge over the processes, by its labels."""
        return f"min by ({_by(labels)}) ({self.series(metric)})"

    def risen(
        self, metric: Metric, window: str, *matchers: str, by: tuple[str, ...] = (), suffix: str = ""
    ) -> str:
        """Return by how much a counter has risen in a window, over all processes."""
        return f"sum by ({_by(by)}) (increase({self.series(metric, *matchers, suffix=suffix)}[{window}]))"


def _insist_on_label(metric: Metric, matcher: str) -> None:
    name = re.split("[!=]", matcher)[0]
    if name not in metric.labels:
        raise LookupError(f"{metric.name} has no label {name}")


def _by(labels: tuple[str, ...]) -> str:
    return ", ".join(("job", *labels))


def has_risen(name: str, matcher: str, window: str, *labels: str) -> str:
    """Return when a counter of another program has risen, or has appeared with a value.

    Some of them appear only with the first event, and ``increase`` does not see a first value. What
    Prometheus did not scrape before proves nothing.
    """
    by, series = _by(labels), f"{name}{{{matcher}}}"
    return (
        f"sum by ({by}) (increase({series}[{window}])) > 0\n"
        "or (\n"
        f"  sum by ({by}) ({series}) > 0\n"
        f"  unless sum by ({by}) ({series} offset {window})\n"
        f"  and on (job) max by (job) (up{{{matcher}}} offset {window})\n"
        ")"
    )
