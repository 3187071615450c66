"""Make a synthetic run, and compare its figures in SQL, in metrics and in its trace with the known ones.

No network call is made, and no money is spent: its calls are spans as the instrumentation writes them. It is
marked as synthetic, and left out of all totals, reports and metrics.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from opentelemetry import _logs, context, metrics, trace
from opentelemetry.trace import SpanKind

from telemetry._internal.context import is_recording
from telemetry._internal.run import Run
from telemetry.api.blocks import stage
from telemetry.api.documents import document
from telemetry.api.handle import RunHandle
from telemetry.api.runs import open_run
from telemetry.conventions import OPENAI_SCOPE, SYNTHETIC_RUNS, Attribute, Stage
from telemetry.pricing.prices import PICO, Pricer, Tokens, default_pricer
from telemetry.setup import process as setup
from telemetry.setup.provider import sdk_provider

from .check import TIMEOUT_SECONDS, Answer, Check, Patient, listening

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider

    from exporters.process.pipeline import Pipeline

MODEL: Final = "gpt-4o-mini"
CALLS: Final = (
    (("200",), Tokens(input=1000, output=100)),
    (("429", "200"), Tokens(input=1200, output=40, cached=1024)),
    (("200",), Tokens(input=1, output=1)),
)
"""Statuses of the attempts of each call, and its tokens."""
DELIVERY_SECONDS: Final = 10.0
"""Time limit for the writer."""

Figures = dict[str, int]


def check_synthetic_run(patient: Patient) -> Answer:
    """Check that SQL, metrics and trace agree on a known run."""
    pipeline, provider, settings = setup.pipeline(), sdk_provider(), patient.settings
    if pipeline is None or provider is None or settings is None:
        return
    if not patient.with_run:
        yield Check("note", "synthetic run", "skipped (--no-run)")
        return
    if settings.database_url and not patient.is_database_ready:
        yield Check("note", "synthetic run", "skipped: the database must be repaired first", "see its line")
        return
    with listening(patient.messages):
        yield from _Trial(patient, pipeline, provider).lines()


class _Trial:
    """A synthetic run, and the comparison of its figures."""

    def __init__(self, patient: Patient, pipeline: Pipeline, provider: TracerProvider) -> None:
        from .probes.exporters import Exporters
        from .probes.synthetic_rows import SyntheticRows, Witness

        self._patient = patient
        self._settings = pipeline.settings
        self._rows = SyntheticRows
        self._witness = Witness(pipeline, provider)
        self._exports = Exporters(provider, metrics.get_meter_provider(), _logs.get_logger_provider())
        self._expected = _expected(default_pricer(self._settings))

    def lines(self) -> Answer:
        """Make the run, and yield the results."""
        self._exports.watch()
        run = _work()._run
        if run is None:
            yield Check("bad", "synthetic run", "was not recorded", "see set-up")
            return
        wrong = False
        for check in self._compared(run):
            wrong = wrong or check.result == "bad"
            yield check
        if self._settings.database_url and not wrong:
            with self._rows(self._settings.database_url) as rows:
                rows.remove(run.run_id)
        yield from self._sent(run)

    def _compared(self, run: Run) -> Answer:
        figures_by_place: dict[str, Figures] = {}
        if self._settings.database_url:
            with self._rows(self._settings.database_url) as rows:
                row = rows.wait(run.run_id, DELIVERY_SECONDS)
                if row is not None:
                    figures_by_place["SQL"] = rows.figures(run.run_id)
            yield from self._marks(run, row)
        figures_by_place["metrics"] = self._witness.in_metrics()
        figures_by_place["trace"] = self._witness.in_trace(run.run_id)
        differences = {
            place: _differences(figures, self._expected) for place, figures in figures_by_place.items()
        }
        for place, difference in differences.items():
            if difference:
                yield Check("bad", "synthetic run", f"wrong in {place}: {difference}", self._remedy(run))
        if not any(differences.values()):
            yield Check("good", "synthetic run", self._summary(list(figures_by_place)))

    def _marks(self, run: Run, row: Mapping[str, Any] | None) -> Answer:
        """Check that there is a row, which names the trace and is marked as synthetic."""
        if row is None:
            reason = next(filter(_is_of_writer, reversed(self._patient.messages)), "the log has no reason")
            text = f"did not arrive in SQL within {DELIVERY_SECONDS:.0f} s: {reason}"
            yield Check("bad", "synthetic run", text, "see database and spool")
        elif row["trace_id"] != _trace_id(run) or not row["synthetic"]:
            text = "its row in SQL does not name its trace, or is not marked"
            yield Check("bad", "synthetic run", text, self._remedy(run))

    def _sent(self, run: Run) -> Answer:
        """Check that the trace and the metrics were exported."""
        name, unsent = _trace_id(run), self._patient.unsent
        self._exports.flush(TIMEOUT_SECONDS, leaving=unsent)
        taken = self._exports.taken
        if not run.span.get_span_context().trace_flags.sampled:
            sampler = os.environ.get("OTEL_TRACES_SAMPLER", "the sampler")
            yield Check("note", "trace", f"{name} is not exported: {sampler} drops it; rollups count it")
        elif "traces" in unsent or not taken.get("traces", [True])[-1]:
            yield Check("bad", "trace", f"{name} could not be exported", "see collector")
        elif "traces" in taken:
            yield Check("good", "trace", f"{name} was exported: look it up in the trace store")
        else:
            yield Check("good", "trace", f"{name} is complete; no exporter is configured")
        if "metrics" in taken and "metrics" not in unsent:
            if taken["metrics"][-1]:
                yield Check("good", "metrics", f"were exported; {SYNTHETIC_RUNS.name} counts this run")
            else:
                yield Check("bad", "metrics", "could not be exported", "see collector")

    def _summary(self, places: list[str]) -> str:
        known = self._expected
        tokens = known["input_tokens"] + known["output_tokens"]
        where = f"{', '.join(places[:-1])} and {places[-1]}"
        spent = f"${known['cost_pico'] / PICO:f}" if known["cost_pico"] else "no price"
        figures = f"{known['calls']} calls, {known['attempts']} attempts, {tokens:,} tokens, {spent}"
        return f"{figures}: the same in {where}"

    def _remedy(self, run: Run) -> str:
        kept = (
            f"; its rows are kept: telemetry_runs.run_id = {run.run_id}"
            if self._settings.database_url
            else ""
        )
        return f"report this{kept}"


def synthetic_run() -> RunHandle:
    """Open an analysis that tries telemetry out: no total, report or metric counts it."""
    if not is_recording():
        return RunHandle(None)
    return open_run(Run("analysis", synthetic=True, candidates=1, criteria=1), context.get_current())


def _work() -> RunHandle:
    """Make a run as an application does, with calls that were never made."""
    tracer = trace.get_tracer(OPENAI_SCOPE)
    with (
        synthetic_run() as handle,
        stage(Stage.RANKING),
        document("synthetic.txt", size=2048, characters=2000, type="txt") as block,
    ):
        for statuses, tokens in CALLS:
            tracer.start_span(
                f"chat {MODEL}", kind=SpanKind.CLIENT, attributes=_attributes(statuses, tokens)
            ).end()
        block.score(0.75)
    return handle


def _attributes(statuses: tuple[str, ...], tokens: Tokens) -> dict[str, Any]:
    return {
        Attribute.OPERATION: "chat",
        Attribute.PROVIDER: "openai",
        Attribute.REQUEST_MODEL: MODEL,
        Attribute.RESPONSE_MODEL: MODEL,
        Attribute.ATTEMPTS: len(statuses),
        Attribute.ATTEMPT_STATUSES: statuses,
        Attribute.INPUT_TOKENS: tokens.input,
        Attribute.CACHED_TOKENS: tokens.cached,
        Attribute.OUTPUT_TOKENS: tokens.output,
    }


def _expected(price: Pricer) -> Figures:
    """Return the expected figures, at current prices."""
    prices = [price("openai", MODEL, tokens, time.time_ns(), "") for _, tokens in CALLS]
    return {
        "runs": 1,
        "documents": 1,
        "calls": len(CALLS),
        "attempts": sum(len(statuses) for statuses, _ in CALLS),
        "rate_limit_hits": sum(statuses.count("429") for statuses, _ in CALLS),
        "input_tokens": sum(tokens.input for _, tokens in CALLS),
        "cached_tokens": sum(tokens.cached for _, tokens in CALLS),
        "output_tokens": sum(tokens.output for _, tokens in CALLS),
        "cost_pico": sum(call_price.pico for call_price in prices if call_price is not None),
    }


def _trace_id(run: Run) -> str:
    return trace.format_trace_id(run.span.get_span_context().trace_id)


def _is_of_writer(message: str) -> bool:
    return message.startswith(("telemetry cannot write", "telemetry could not store"))


def _differences(figures: Figures, expected: Figures) -> str:
    """Return the differences as text, which is empty if there are none; figures of a trace lack the cost."""
    return ", ".join(
        f"{name} {value} instead of {expected[name]}"
        for name, value in figures.items()
        if value != expected[name]
    )
