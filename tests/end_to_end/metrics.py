"""The metrics of several processes' listeners, summed."""

from __future__ import annotations

import urllib.request
from collections.abc import Iterable
from decimal import Decimal
from typing import Self

from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""An opener that ignores proxy settings, because the listeners are local."""


class Metrics:
    """Samples of one or more processes."""

    def __init__(self, texts: Iterable[str]) -> None:
        self.texts = list(texts)
        self._samples: list[Sample] = [
            sample
            for text in self.texts
            for family in text_string_to_metric_families(text)
            for sample in family.samples
        ]

    @classmethod
    def scrape(cls, ports: Iterable[int]) -> Self:
        """Scrape the listeners on these ports."""
        return cls(_read(port) for port in ports)

    def total(self, name: str, **labels: str) -> float:
        """Return the sum of all samples with a name and labels."""
        return sum(sample.value for sample in self._samples if _matches(sample, name, labels))

    def dollars(self, name: str, **labels: str) -> Decimal:
        """Return a sum of money, with each sample rounded to whole pico-dollars."""
        values = (sample.value for sample in self._samples if _matches(sample, name, labels))
        return sum((Decimal(value).quantize(Decimal("1e-12")) for value in values), Decimal(0))


def _matches(sample: Sample, name: str, labels: dict[str, str]) -> bool:
    return sample.name == name and labels.items() <= sample.labels.items()


def _read(port: int) -> str:
    with _OPENER.open(f"http://127.0.0.1:{port}/metrics", timeout=300) as answer:
        text: str = answer.read().decode()
    return text
