"""Record the results of exports in this process, which the SDK only logs."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Any

from telemetry._internal.context import suppressed


@dataclass(slots=True)
class Exporters:
    """The exporters of the providers of this process."""

    tracers: Any
    meters: Any
    loggers: Any = None
    taken: dict[str, list[bool]] = field(default_factory=dict)
    """Whether each export since :meth:`watch` was accepted, by signal."""

    def watch(self) -> None:
        """Record the results of exports from now on."""
        for signal, exporter in self._exporters():
            self._watch(signal, exporter)

    def flush(self, seconds: float, *, leaving: Collection[str] = ()) -> None:
        """Flush all signals, except those in ``leaving``; what takes longer was not accepted."""
        with suppressed():
            for signal, provider in (("traces", self.tracers), ("metrics", self.meters)):
                if signal not in leaving and hasattr(provider, "force_flush"):
                    self._flush(signal, provider, seconds)

    def _flush(self, signal: str, provider: Any, seconds: float) -> None:
        try:
            provider.force_flush(int(seconds * 1000))
        except Exception:  # the SDK raises this if a callback takes too long
            if signal in dict(self._exporters()):
                self.taken.setdefault(signal, []).append(False)

    def end(self) -> None:
        """Shut the providers down, and first their exporters, so that none waits for a Collector."""
        for _, exporter in self._exporters():
            exporter.shutdown()
        for provider in (self.tracers, self.meters, self.loggers):
            if hasattr(provider, "shutdown"):
                provider.shutdown()

    def _watch(self, signal: str, exporter: Any) -> None:
        export = exporter.export

        def watched(*args: Any, **options: Any) -> Any:
            result = export(*args, **options)
            self.taken.setdefault(signal, []).append(getattr(result, "name", "") == "SUCCESS")
            return result

        exporter.export = watched

    def _exporters(self) -> Iterator[tuple[str, Any]]:
        for provider, signal, multi, many in (
            (self.tracers, "traces", "_active_span_processor", "_span_processors"),
            (self.loggers, "logs", "_multi_log_record_processor", "_log_record_processors"),
        ):
            for processor in getattr(getattr(provider, multi, None), many, ()):
                exporter = getattr(processor, "span_exporter", None) or getattr(
                    getattr(processor, "_batch_processor", None), "_exporter", None
                )
                if exporter is not None:
                    yield signal, exporter
        for reader in getattr(self.meters, "_metric_readers", ()):
            if (exporter := getattr(reader, "_exporter", None)) is not None:
                yield "metrics", exporter
