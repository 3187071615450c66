"""The figures of the metrics, summed over the listeners of all processes."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from .figures import Figures


class Scrape:
    """The metrics of every process, scraped once."""

    def __init__(self, spool: Path) -> None:
        """Scrape all listeners; each process has written its port into its folder below `spool`."""
        ports = sorted(int(note.read_text()) for note in spool.glob("*/*/metrics-port"))
        self.urls = [f"http://127.0.0.1:{port}/metrics" for port in ports]
        self._samples = [sample for url in self.urls for sample in _read(url)]

    def total(self, name: str, **labels: str) -> float:
        """Sum up all samples of a metric with these labels."""
        return sum(
            sample.value
            for sample in self._samples
            if sample.name == name and labels.items() <= sample.labels.items()
        )

    @property
    def is_settled(self) -> bool:
        """Return whether no run is open and nothing waits for the database."""
        return not self.total("analysis_runs_active") and not self.total("telemetry_spool_pending")

    def figures(self) -> Figures:
        """Sum up the spending."""
        return Figures(
            calls=int(self.total("analysis_openai_operations_total")),
            attempts=int(self.total("analysis_openai_attempts_total")),
            rate_limited=int(self.total("analysis_openai_attempts_total", status="429")),
            input_tokens=int(self.total("analysis_openai_tokens_total", kind="input")),
            output_tokens=int(self.total("analysis_openai_tokens_total", kind="output")),
            cached_tokens=int(self.total("analysis_openai_tokens_total", kind="cached")),
            dollars=Decimal(self.total("analysis_openai_cost_usd_total")),
        )


def _read(url: str) -> Iterator[Sample]:
    with urllib.request.urlopen(url, timeout=10) as answer:
        text = answer.read().decode()
    for family in text_string_to_metric_families(text):
        yield from family.samples
