"""The writer's thread does not depend on the code that happened to start it."""

from __future__ import annotations

import gc
import weakref
from pathlib import Path

from opentelemetry import context
from opentelemetry.instrumentation.threading import ThreadingInstrumentor

from telemetry.settings import Settings
from telemetry.testing import recording


class Held:
    """Something that a context holds, such as a run."""


def test_the_thread_does_not_keep_the_context_it_was_started_in(sqlite_url: str, tmp_path: Path) -> None:
    """Instrumented threads inherit the context; the writer's begins with an empty one."""
    spool = tmp_path / "spool"
    settings = Settings(database_url=sqlite_url, spool_dir=spool, hmac_key="k", shutdown_seconds=0)
    held = Held()
    reference = weakref.ref(held)
    ThreadingInstrumentor().instrument()
    try:
        with recording(settings) as pipeline:
            token = context.attach(context.set_value("held", held))
            assert pipeline.writer is not None
            pipeline.writer.wake()
            context.detach(token)
            del held, token
            gc.collect()

            assert reference() is None
    finally:
        ThreadingInstrumentor().uninstrument()
