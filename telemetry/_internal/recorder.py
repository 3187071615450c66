"""The port through which the API reports to the recorder of the rollup.

Application code uses :mod:`telemetry.api`, and :mod:`exporters` records. Neither imports the other: the API
reports to the :class:`Recorder` that ``attach`` installed; before that, to one that does nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from opentelemetry import trace

from telemetry.conventions import RUN_KINDS

from .run import Document, OpenStage, Run, Warned

if TYPE_CHECKING:
    from telemetry.openai.call import OpenAICall


class Recorder(Protocol):
    """The port through which the API reports to the recorder of the rollup. No method may raise."""

    kinds: tuple[str, ...]
    """Kinds of runs that the application may open."""

    def open(self, run: Run) -> None:
        """Begin to record ``run``; its own span is about to start."""

    def close(self, run: Run) -> None:
        """Keep the final state of ``run``; its own span is about to end."""

    def update(self, run: Run) -> None:
        """Record a change of the handle: a link to an analysis, a status."""

    def document(self, run: Run, document: Document) -> None:
        """Add one visit to a document."""

    def count(self, run: Run, name: str, amount: int) -> None:
        """Add ``amount`` to a declared counter."""

    def error(self, run: Run, stage: str | None, error_type: str) -> None:
        """Add one error of ``stage``."""

    def stage_started(self, stage: OpenStage) -> None:
        """Start the clock of a stage."""

    def stage_ended(self, stage: OpenStage, ended_ns: int, span: trace.Span) -> None:
        """Stop the clock of a stage; ``span`` is its span."""

    def warn(self, warned: Warned) -> None:
        """Record a warning, or an answer to warnings."""

    def call_started(self, call: OpenAICall) -> None:
        """Record that a call has begun."""

    def call_ended(self, call: OpenAICall) -> None:
        """Add a call that has ended to the run in which it started."""


class NoRecorder:
    """The recorder until ``attach`` installs another: it does nothing."""

    kinds: tuple[str, ...] = RUN_KINDS

    def open(self, run: Run) -> None:
        """Do nothing."""

    def close(self, run: Run) -> None:
        """Do nothing."""

    def update(self, run: Run) -> None:
        """Do nothing."""

    def document(self, run: Run, document: Document) -> None:
        """Do nothing."""

    def count(self, run: Run, name: str, amount: int) -> None:
        """Do nothing."""

    def error(self, run: Run, stage: str | None, error_type: str) -> None:
        """Do nothing."""

    def stage_started(self, stage: OpenStage) -> None:
        """Do nothing."""

    def stage_ended(self, stage: OpenStage, ended_ns: int, span: trace.Span) -> None:
        """Do nothing."""

    def warn(self, warned: Warned) -> None:
        """Do nothing."""

    def call_started(self, call: OpenAICall) -> None:
        """Do nothing."""

    def call_ended(self, call: OpenAICall) -> None:
        """Do nothing."""
