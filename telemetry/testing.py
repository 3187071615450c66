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
from typing import TYPE_CHECKING, Any

import pytest

from ._guard import raise_internal_errors
from .settings import Settings
from .setup import attach

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider


@contextmanager
def recording(settings: Settings, provider: TracerProvider | None = None, **options: Any) -> Iterator[Any]:
    """Record with ``settings`` through ``provider`` (default: one of its own) and yield the pipeline.

    While it is open, the API of :mod:`telemetry` reports to this pipeline, and its spans are made by this
    provider.
    """
    from opentelemetry.sdk.trace import TracerProvider

    from . import api
    from .conventions import SCOPE

    provider = provider or TracerProvider(shutdown_on_exit=False)
    pipeline = attach(provider, settings, **options)
    before = api._tracer
    api._tracer = lambda: provider.get_tracer(SCOPE)
    try:
        yield pipeline
    finally:
        api._tracer = before
        pipeline.shutdown()


@pytest.fixture
def telemetry_errors_raise() -> Iterator[None]:
    """Let internal errors fail the test that meets them."""
    before = raise_internal_errors(True)
    yield
    raise_internal_errors(before)


@pytest.fixture
def telemetry_rollups(telemetry_errors_raise: None, tmp_path: Path) -> Iterator[list[Any]]:
    """Give a list of the snapshots of runs that ended in this test, in order.

    Nothing is written to a database.
    """
    ended: list[Any] = []
    with recording(Settings(spool_dir=tmp_path / "spool")) as pipeline:
        pipeline.on_end(ended.append)
        yield ended
