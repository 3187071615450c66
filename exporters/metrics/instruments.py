"""The instruments of ``telemetry.conventions``, which count the same calls and documents as the rollup.

Counters and gauges are observable: they read the process's :class:`.totals.Totals` on each scrape or push, so
a forked child starts at zero. Histograms are recorded with the context of the span that ended, so that their
exemplars lead to its trace.
"""

from __future__ import annotations

import itertools
import threading
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.metrics import Histogram, Meter, MeterProvider, Observation
from opentelemetry.trace import SpanContext

from exporters.rollup.call import Call
from exporters.rollup.merge import Rollup
from telemetry import conventions as c
from telemetry._internal.guard import internal_errors
from telemetry.settings import Settings

from .totals import Key, Totals

SCALES: Final[Mapping[str, float]] = {
    c.OPENAI_COST.name: 1e-12,
    c.OPENAI_BACKOFF.name: 1e-6,
    c.OPENAI_RETRY_AFTER.name: 1e-6,
    c.OPENAI_HEADROOM.name: 1e-4,
}
"""Factors from the integer totals to the unit of the metric; only here money becomes a float."""


class _Marked(Protocol):
    """A run that knows whether it is synthetic."""

    @property
    def synthetic(self) -> bool: ...


class Metrics:
    """All metrics of this process."""

    def __init__(self, settings: Settings) -> None:
        """Prepare the totals, at zero for every closed label set."""
        self.totals = Totals()
        self._histograms: dict[str, Histogram] = {}
        self._gauges: dict[str, Callable[[], float]] = {}
        self._labelled: dict[str, Callable[[], Iterable[tuple[Mapping[str, str], float]]]] = {}
        self._settings = settings
        self._kinds = (*c.MEASURED_KINDS, *settings.run_kinds)
        self._synthetic: Metrics | None = None
        self._zero()

    @property
    def of_synthetic_runs(self) -> Metrics:
        """Separate metrics for synthetic runs, which are only visible where the doctor registers them."""
        if self._synthetic is None:
            self._synthetic = Metrics(self._settings)
        return self._synthetic

    def of(self, run: _Marked | None) -> Metrics:
        """Return the metrics for ``run``: a synthetic run has metrics of its own, and is in no total."""
        return self.of_synthetic_runs if run is not None and run.synthetic else self

    def register(self, provider: MeterProvider) -> None:
        """Create the instruments on ``provider``, or continue from the values of existing ones."""
        source = next((source for reference, source in _sources if reference() is provider), None)
        if source is not None:
            if source.metrics is self:
                return
            self.totals.continue_from(source.metrics.totals)
            self._histograms = source.metrics._histograms
            source.metrics = self
            return
        source = _Source(self)
        _sources[:] = [known for known in _sources if known[0]() is not None]
        _sources.append((weakref.ref(provider), source))
        meter = provider.get_meter(c.SCOPE)
        for metric in c.METRICS:
            self._create(meter, metric, source)

    def after_fork(self, provider: MeterProvider | None) -> None:
        """Start at zero in a forked child, because the parent continues to report what it measured.

        In a child the SDK keeps the histograms of the parent, which would be counted twice. Removing and
        adding the readers clears them. The public way to remove a reader would shut it down.
        """
        self.totals.reset()
        consumer = getattr(provider, "_measurement_consumer", None)
        if consumer is None:
            return
        consumer._lock = threading.Lock()  # another thread of the parent may hold it at the fork
        for reader in list(consumer._reader_storages):
            consumer.remove_metric_reader(reader)
            consumer.add_metric_reader(reader)

    def gauge(self, metric: c.Metric, read: Callable[[], float]) -> None:
        """Let ``metric``, which has no labels, report the value of ``read``."""
        self._gauges[metric.name] = read

    def labelled_gauge(
        self, metric: c.Metric, read: Callable[[], Iterable[tuple[Mapping[str, str], float]]]
    ) -> None:
        """Let ``metric`` report the pairs of labels and value that ``read`` yields."""
        self._labelled[metric.name] = read

    def observe(self, metric: c.Metric, value: float, context: Context | None = None, **labels: str) -> None:
        """Record ``value`` in a histogram; ``context`` carries the span for the exemplar."""
        histogram = self._histograms.get(metric.name)
        if histogram is not None:
            histogram.record(value, self.totals.capped(metric, **labels), context=context)

    def call(self, call: Call) -> None:
        """Add one OpenAI call that ended."""
        stage, model = call.stage, call.model or c.OTHER
        outcome = c.OK if call.ok else c.ERROR
        additions: list[tuple[c.Metric, int, Key]] = [
            (c.OPENAI_OPERATIONS, 1, (stage, call.operation, model, outcome)),
            # Prometheus sees an increase only of what was there before.
            (c.OPENAI_OPERATIONS, 0, (stage, call.operation, model, c.ERROR)),
            (c.OPENAI_BACKOFF, call.backoff_us, (stage,)),
            (c.OPENAI_RETRY_AFTER, call.retry_after_us, (stage,)),
        ]
        if len(call.statuses) > 1:
            additions.append((c.OPENAI_RETRIES, call.rate_limit_retries, (stage, "rate_limit")))
            additions.append((c.OPENAI_RETRIES, call.other_retries, (stage, "other")))
        for status in call.statuses:
            known = status if status in c.ATTEMPT_STATUSES else c.OTHER
            additions.append((c.OPENAI_ATTEMPTS, 1, (stage, known)))
        if call.tokens:
            for kind in c.TOKEN_KINDS:
                additions.append((c.OPENAI_TOKENS, getattr(call.tokens, kind), (stage, model, kind)))
        if call.price:
            additions.append((c.OPENAI_COST, call.price.pico, (stage, model)))
        if call.usage_missing:
            additions.append((c.OPENAI_UNACCOUNTED, 1, ("usage_missing",)))
        if call.unpriced:
            additions.append((c.OPENAI_UNACCOUNTED, 1, ("unpriced",)))
        shares = [((model, limit), share) for limit, share in call.headroom]
        self.totals.add_all(additions, c.OPENAI_HEADROOM, shares)

    def unaccounted(self, reason: str, amount: int = 1) -> None:
        """Add calls whose cost is unknown or belongs to no run."""
        self.totals.add(c.OPENAI_UNACCOUNTED, amount, reason=reason)

    def active(self, kind: str, change: int) -> None:
        """Change the number of open runs."""
        self.totals.add(c.RUNS_ACTIVE, change, kind=self._kind(kind))

    def run_ended(self, rollup: Rollup, context: Context) -> None:
        """Add a run that ended in this process, its root."""
        kind, status = self._kind(rollup.root.kind), rollup.status
        size = c.batch_size(rollup.root.candidates or len(rollup.documents))
        self.totals.add(c.RUNS, 1, kind=kind, status=status, batch_size=size)
        if rollup.duration_us is not None:
            self.observe(c.RUN_DURATION, rollup.duration_us / 1e6, context, kind=kind, status=status)
        if rollup.queue_wait_us is not None:
            self.observe(c.QUEUE_WAIT, rollup.queue_wait_us / 1e6, context, kind=kind)
        for document in rollup.documents:
            file_type = document.type if document.type in c.DOCUMENT_TYPES else c.OTHER
            self.totals.add(c.DOCUMENTS, 1, type=file_type, outcome=document.outcome)
            if document.size is not None:
                self.observe(c.DOCUMENT_SIZE, document.size, context, type=file_type)
            if document.characters is not None:
                self.observe(c.DOCUMENT_CHARACTERS, document.characters, context, type=file_type)
            if document.outcome == c.SCORED and document.score is not None:
                self.observe(c.CANDIDATE_SCORE, document.score / 10_000, context)

    def _kind(self, kind: str) -> str:
        """Return the label of a kind: ``other`` for one that only another process declares."""
        return kind if kind in self._kinds else c.OTHER

    def _create(self, meter: Meter, metric: c.Metric, source: _Source) -> None:
        if metric.instrument == "histogram":
            self._histograms[metric.name] = meter.create_histogram(
                metric.name,
                metric.unit,
                metric.description,
                explicit_bucket_boundaries_advisory=metric.buckets,
            )
            return
        create = (
            meter.create_observable_counter
            if metric.instrument == "counter"
            else meter.create_observable_gauge
        )
        create(metric.name, [lambda _: source.metrics._observations(metric)], metric.unit, metric.description)

    def _observations(self, metric: c.Metric) -> Iterator[Observation]:
        scale = SCALES.get(metric.name)
        if metric is c.INTERNAL_ERRORS:
            yield from self._internal_errors()
        elif metric.name in self._labelled:
            for labels, value in self._labelled[metric.name]():
                yield Observation(value, labels)
        elif metric.name in self._gauges:
            yield Observation(self._gauges[metric.name]())
        else:
            for labels, value in self.totals.read(metric):
                yield Observation(value if scale is None else value * scale, labels)

    def _internal_errors(self) -> Iterator[Observation]:
        counted = internal_errors()
        for component in sorted({*c.COMPONENTS, *counted}):
            yield Observation(counted.get(component, 0), {"component": component})

    def _zero(self) -> None:
        zero, stages = self.totals.zero, dict.fromkeys((*self._settings.stages, c.Stage.UNATTRIBUTED))
        zero(c.RUNS, itertools.product(self._kinds, c.TERMINAL_STATUSES, c.BATCH_SIZES))
        types = self._settings.warning_types
        zero(c.WARNINGS, itertools.product(types, (c.SHOWN, c.REFUSED, *c.WARNING_ACTIONS)))
        zero(c.RUNS_ACTIVE, ((kind,) for kind in self._kinds))
        zero(c.DOCUMENTS, itertools.product((*c.DOCUMENT_TYPES, c.OTHER), c.DOCUMENT_OUTCOMES))
        zero(c.OPENAI_ATTEMPTS, itertools.product(stages, (*c.ATTEMPT_STATUSES, c.OTHER)))
        zero(c.OPENAI_BACKOFF, ((stage,) for stage in stages))
        zero(c.OPENAI_RETRY_AFTER, ((stage,) for stage in stages))
        zero(c.OPENAI_RETRIES, itertools.product(stages, c.RETRY_REASONS))
        zero(c.OPENAI_UNACCOUNTED, ((reason,) for reason in c.UNACCOUNTED_REASONS))
        zero(c.EVENTS, ((name,) for name in (*self._settings.counters, c.OTHER)))
        zero(c.SYNTHETIC_RUNS, iter([()]))
        zero(c.SPOOL_SHED, ((what,) for what in c.SHED_PARTS))
        zero(c.WRITER_FAILURES, ((name,) for name in c.TRANSACTIONS))


def exemplar(span: SpanContext) -> Context:
    """Return a context with the span that ended, because the current context is that of its parent."""
    return trace.set_span_in_context(trace.NonRecordingSpan(span), Context())


@dataclass(slots=True)
class _Source:
    """The metrics that the instruments of a provider read, because it always keeps its first callbacks."""

    metrics: Metrics


_sources: Final[list[tuple[weakref.ref[MeterProvider], _Source]]] = []
"""Metrics by provider: a process may end telemetry and set it up again."""
