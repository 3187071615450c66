"""What a metric and a label are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric: name, instrument, unit, description and labels."""

    name: str
    """OpenTelemetry name."""
    instrument: Literal["counter", "gauge", "histogram"]
    unit: str
    description: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()
    """Explicit bucket boundaries of a histogram, in its unit."""
    source: Literal["process", "today", "days", "host"] = "process"
    """Where the value comes from: the process itself, a query, or a callable of the host.

    All but those of ``process`` are exported by one process for all.
    """

    def __post_init__(self) -> None:
        """Refuse a name that depends on how a metric gets to Prometheus.

        Raises:
            ValueError: a gauge of the unit 1 does not end in ``ratio``. A Prometheus that receives OTLP
                itself appends this word, one that scrapes does not.
        """
        if self.instrument == "gauge" and self.unit == "1" and not self.name.endswith(".ratio"):
            raise ValueError(f"{self.name} has the unit 1: its name must end in .ratio")

    @property
    def prometheus_name(self) -> str:
        """Its name in Prometheus: with underscores, the unit, and ``_total`` for a counter.

        It is the same whether Prometheus scrapes a process or receives OTLP itself.
        """
        name, unit = self.name.replace(".", "_"), _PROMETHEUS_UNITS.get(self.unit)
        name = f"{name}_{unit}" if unit else name
        return f"{name}_total" if self.instrument == "counter" else name

    def label(self, name: str) -> Label:
        """Return the meaning and the values of the label ``name`` on this metric.

        Raises:
            LookupError: if :data:`.metrics.LABELS` has no entry for it.
        """
        from .metrics import LABELS  # it imports this module

        try:
            return LABELS.get(f"{self.name} {name}") or LABELS[name]
        except KeyError:
            raise LookupError(
                f"the label {name} of {self.name} has no entry in LABELS of telemetry.conventions"
            ) from None


_PROMETHEUS_UNITS: Final = {"s": "seconds", "By": "bytes"}


@dataclass(frozen=True, slots=True)
class Label:
    """The meaning of a label, and its values."""

    meaning: str
    values: tuple[str, ...] = ()
    """All values, or those that are known from the start."""
    setting: str = ""
    """The setting that declares the values; ``values`` is its default."""
    added_by: str = ""
    """The setting that declares further values."""
    is_open: bool = False
    """Whether values are added as they occur; beyond a cap they become ``other``."""
