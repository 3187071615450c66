"""Read the figures of a synthetic run: from metrics, from its trace, and from SQL.

Its spans are processed like all spans. Its figures are in separate metrics
(:attr:`exporters.metrics.instruments.Metrics.of_synthetic_runs`), and in rows marked as synthetic, which all
views, reports and totals leave out.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, Final

import sqlalchemy as sa
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider

from exporters.process.pipeline import Pipeline
from exporters.sql.database.engine import create_engine, transaction
from exporters.sql.schema import tables
from exporters.sql.schema.tables import runs
from exporters.upkeep.erase import erase_runs
from telemetry import conventions as c
from telemetry._internal.context import suppressed
from telemetry.conventions import Attribute

Figures = dict[str, int]
"""Figures by name; money in pico-dollars."""

LEFT_OVER: Final = timedelta(hours=1)
"""Age from which a synthetic run cannot belong to a running doctor."""
_POLL_SECONDS: Final = 0.05


class Witness:
    """Observes a synthetic run in its process; it must be created before the run."""

    def __init__(self, pipeline: Pipeline, provider: TracerProvider) -> None:
        """Observe the spans of ``provider``, and the metrics of synthetic runs in ``pipeline``."""
        self._reader = InMemoryMetricReader()
        pipeline.metrics.of_synthetic_runs.register(MeterProvider([self._reader], shutdown_on_exit=False))
        self._spans = _Spans()
        provider.add_span_processor(self._spans)

    def in_metrics(self) -> Figures:
        """Return the figures in the metrics."""
        read = dict(self._points())

        def total(metric: c.Metric, **labels: str) -> float:
            return sum(
                value
                for (name, attributes), value in read.items()
                if name == metric.name and labels.items() <= set(attributes)
            )

        return {
            "runs": round(total(c.RUNS, kind="analysis", status=c.COMPLETED)),
            "documents": round(total(c.DOCUMENTS, outcome=c.SCORED)),
            "calls": round(total(c.OPENAI_OPERATIONS)),
            "attempts": round(total(c.OPENAI_ATTEMPTS)),
            "rate_limit_hits": round(total(c.OPENAI_ATTEMPTS, status="429")),
            "input_tokens": round(total(c.OPENAI_TOKENS, kind="input")),
            "cached_tokens": round(total(c.OPENAI_TOKENS, kind="cached")),
            "output_tokens": round(total(c.OPENAI_TOKENS, kind="output")),
            "cost_pico": round(total(c.OPENAI_COST) * 10**12),
        }

    def in_trace(self, run_id: str) -> Figures:
        """Return the figures in the trace of the run."""
        root = next(
            (span for span in self._spans.ended if _attributes(span).get(Attribute.RUN_ID) == run_id), None
        )
        spans = [span for span in self._spans.ended if root and _trace(span) == _trace(root)]
        calls = [_attributes(span) for span in spans if Attribute.OPERATION in _attributes(span)]
        statuses = [status for call in calls for status in call.get(Attribute.ATTEMPT_STATUSES, ())]
        return {
            "runs": int(root is not None),
            "documents": sum(span.name == "document" for span in spans),
            "calls": len(calls),
            "attempts": len(statuses),
            "rate_limit_hits": statuses.count("429"),
            "input_tokens": sum(call.get(Attribute.INPUT_TOKENS, 0) for call in calls),
            "cached_tokens": sum(call.get(Attribute.CACHED_TOKENS, 0) for call in calls),
            "output_tokens": sum(call.get(Attribute.OUTPUT_TOKENS, 0) for call in calls),
        }

    def _points(self) -> Iterator[tuple[tuple[str, frozenset[tuple[str, Any]]], float]]:
        data = self._reader.get_metrics_data()
        for resource in data.resource_metrics if data else ():
            for scope in resource.scope_metrics:
                for metric in scope.metrics:
                    for point in metric.data.data_points:
                        if hasattr(point, "value"):
                            yield (metric.name, frozenset((point.attributes or {}).items())), point.value


class SyntheticRows:
    """The rows of synthetic runs in one database."""

    def __init__(self, database_url: str) -> None:
        """Connect to the database at ``database_url``.

        Raises:
            ValueError: if the URL cannot be used.
        """
        self._engine = create_engine(database_url)

    def __enter__(self) -> SyntheticRows:
        return self

    def __exit__(self, *exception: object) -> None:
        self._engine.dispose()

    def wait(self, run_id: str, seconds: float) -> Mapping[str, Any] | None:
        """Wait until the row of a run has ended, and return it; None if that takes longer than ``seconds``.

        Raises:
            sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
        """
        deadline = time.monotonic() + seconds
        with suppressed():
            while True:
                with transaction(self._engine) as connection:
                    query = sa.select(runs).where(runs.c.run_id == run_id, runs.c.ended_at.is_not(None))
                    row = connection.execute(query).mappings().one_or_none()
                if row is not None or time.monotonic() >= deadline:
                    return None if row is None else dict(row)
                time.sleep(_POLL_SECONDS)

    def figures(self, run_id: str) -> Figures:
        """Return the figures in the rows of a run, its stages and its documents."""
        usage, documents = tables.stage_usage.c, tables.documents.c
        sums = ("calls", "attempts", "rate_limit_hits", "input_tokens", "cached_tokens", "output_tokens")
        totals = [sa.func.coalesce(sa.func.sum(usage[name]), 0) for name in (*sums, "cost_pico")]
        with suppressed(), transaction(self._engine) as connection:
            stages = connection.execute(
                sa.select(*totals).where(usage.run_id == run_id, usage.operation != "")
            ).one()
            scored = sa.select(sa.func.count()).where(
                documents.run_id == run_id, documents.outcome == c.SCORED
            )
            documents_scored = connection.execute(scored).scalar_one()
            ended = sa.select(sa.func.count()).where(runs.c.run_id == run_id, runs.c.status == c.COMPLETED)
            whole = connection.execute(ended).scalar_one()
        return {
            "runs": whole,
            "documents": documents_scored,
            **dict(zip((*sums, "cost_pico"), map(int, stages), strict=True)),
        }

    def remove(self, run_id: str = "") -> int:
        """Delete a synthetic run, and those that earlier doctors left; return their number."""
        with suppressed(), transaction(self._engine) as connection:
            now = connection.execute(sa.select(tables.utc_now())).scalar_one()
            chosen = sa.or_(runs.c.run_id == run_id, runs.c.seen_at < now - LEFT_OVER)
            query = sa.select(runs.c.run_id).where(runs.c.synthetic.is_(True), chosen).with_for_update()
            ids = list(connection.execute(query).scalars())
            erase_runs(connection, ids)
        return len(ids)


class _Spans(SpanProcessor):
    """Keeps the spans that end."""

    def __init__(self) -> None:
        self.ended: list[ReadableSpan] = []

    def on_end(self, span: ReadableSpan) -> None:
        self.ended.append(span)


def _attributes(span: ReadableSpan) -> Mapping[str, Any]:
    return span.attributes or {}


def _trace(span: ReadableSpan) -> int:
    return span.context.trace_id if span.context else 0
