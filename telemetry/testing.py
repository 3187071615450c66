"""pytest fixtures for applications that use telemetry, and for our own tests.

In a ``conftest.py``::

    pytest_plugins = ["telemetry.testing"]

The fixture ``telemetry_rollups`` is then a list to which the rollup of every run is added when it ends.
Internal errors of telemetry are raised instead of swallowed.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ._internal.context import install, recorder, takes_all
from ._internal.guard import raise_internal_errors
from .settings import Settings

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.sdk.trace import TracerProvider

    from exporters.process.pipeline import Pipeline
    from exporters.rollup.merge import Rollup

    from .pricing.prices import Pricer


@contextmanager
def recording(
    settings: Settings,
    provider: TracerProvider | None = None,
    *,
    meter_provider: MeterProvider | None = None,
    price: Pricer | None = None,
) -> Iterator[Pipeline]:
    """Record with ``settings`` through ``provider`` and yield the pipeline.

    Within the block it is the pipeline of this process: it records runs and OpenAI calls of all applications,
    no matter when they are created. Afterwards the previous pipeline is restored.

    Args:
        settings: settings of the pipeline.
        provider: provider of the spans. Default: that of the process; if there is none, one is created that
            exports nothing, and stays for the rest of the process.
        meter_provider: provider of the metrics; without one there are none.
        price: prices calls; default: the pricer that the settings define.
    """
    from .api import spans
    from .conventions import SCOPE
    from .setup import process as setup

    provider = provider or _provider_of_process()
    before, tracer = (recorder(), takes_all()), spans.tracer
    pipeline = setup.attach(provider, settings, meter_provider=meter_provider, takes_all=True, price=price)
    spans.tracer = lambda: provider.get_tracer(SCOPE)
    try:
        with setup.replace_pipeline(pipeline):
            yield pipeline
    finally:
        spans.tracer = tracer
        pipeline.shutdown()
        install(before[0], takes_all=before[1])


def _provider_of_process() -> TracerProvider:
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider

    if not isinstance(trace.get_tracer_provider(), TracerProvider):
        trace.set_tracer_provider(TracerProvider(shutdown_on_exit=False))
    provider = trace.get_tracer_provider()
    # The tests may have set a provider that is not the SDK's.
    return provider if isinstance(provider, TracerProvider) else TracerProvider(shutdown_on_exit=False)


@pytest.fixture
def telemetry_errors_raise() -> Iterator[None]:
    """Raise internal errors of telemetry, so that the test in which they occur fails."""
    before = raise_internal_errors(True)
    yield
    raise_internal_errors(before)


@pytest.fixture
def telemetry_rollups(telemetry_errors_raise: None, tmp_path: Path) -> Iterator[list[Rollup]]:
    """List the rollups of the runs that ended in this test, in order.

    They include OpenAI calls. Nothing is written to a database. The application under test may be created
    before or after this fixture, for one test or for all.
    """
    from .setup import instrument

    ended: list[Rollup] = []
    with recording(Settings(spool_dir=tmp_path / "spool")) as pipeline:
        instrument()
        pipeline.on_end(lambda last: ended.append(pipeline.rollup(last)))
        yield ended
