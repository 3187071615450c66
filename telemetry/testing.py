"""pytest fixtures for applications that use telemetry, and for our own tests.

In a ``conftest.py``::

    pytest_plugins = ["telemetry.testing"]

``telemetry_rollups`` then gives a list that fills with the rollup of every run that ends; our internal
errors are raised instead of swallowed.
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

    While it is open, it is the pipeline of this process: runs and OpenAI calls of any application go there,
    whether the application is made before or inside. What was there before goes on afterwards.

    Args:
        settings: of the pipeline.
        provider: of the spans. Default: that of the process, which is made where there is none; it then stays
            for the rest of the process, and exports nothing.
        meter_provider: of the metrics; without one there are none.
        price: prices calls; default: as the settings say.
    """
    from .api import spans
    from .conventions import SCOPE
    from .setup import process as setup

    provider = provider or _provider_of_process()
    before, tracer = (recorder(), takes_all()), spans.tracer
    pipeline = setup.attach(provider, settings, meter_provider=meter_provider, takes_all=True, price=price)
    spans.tracer = lambda: provider.get_tracer(SCOPE)
    try:
        with setup.standing_in(pipeline):
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
    found = trace.get_tracer_provider()
    # A test run may have set one that is none of the SDK's.
    return found if isinstance(found, TracerProvider) else TracerProvider(shutdown_on_exit=False)


@pytest.fixture
def telemetry_errors_raise() -> Iterator[None]:
    """Let internal errors fail the test that meets them."""
    before = raise_internal_errors(True)
    yield
    raise_internal_errors(before)


@pytest.fixture
def telemetry_rollups(telemetry_errors_raise: None, tmp_path: Path) -> Iterator[list[Rollup]]:
    """Give a list of the rollups of runs that ended in this test, in order.

    OpenAI calls are in them. Nothing is written to a database. The application under test may be made before
    or after, for this test alone or for all.
    """
    from .setup import instrument

    ended: list[Rollup] = []
    with recording(Settings(spool_dir=tmp_path / "spool")) as pipeline:
        instrument()
        pipeline.on_end(lambda last: ended.append(pipeline.rollup(last)))
        yield ended
