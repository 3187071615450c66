"""The writer's thread belongs to the process, not to the run that started it."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

from opentelemetry.instrumentation.threading import ThreadingInstrumentor

from telemetry._context import run_in
from telemetry.settings import Settings
from telemetry.testing import recording


def test_the_thread_does_not_keep_the_run_that_started_it(sqlite_url: str, tmp_path: Path) -> None:
    """With threads instrumented, a new thread inherits the context; ours begins with an empty one."""
    import telemetry

    ThreadingInstrumentor().instrument()
    try:
        settings = Settings(database_url=sqlite_url, spool_dir=tmp_path / "spool", hmac_key="k", shutdown_seconds=0)
        with recording(settings):
            with telemetry.run("analysis") as handle:
                opened = weakref.ref(run_in())
            del handle
            gc.collect()

            assert opened() is None
    finally:
        ThreadingInstrumentor().uninstrument()
