"""Forked children of this process: pipelines start anew there, and shut down at their end."""

from __future__ import annotations

import multiprocessing.util
import sys
from functools import cache
from types import FrameType
from typing import Final, Protocol

from telemetry._internal.forks import register_in_child, register_in_parent
from telemetry._internal.guard import guarded


class Forking(Protocol):
    """What goes on in forked children: a pipeline."""

    def has_forked(self) -> None:
        """Note that this process has a child now."""

    def after_fork(self) -> None:
        """Start anew in a forked child."""

    def shutdown(self) -> object:
        """Save and deliver what there is, because the process ends."""


_open: Final[list[Forking]] = []
"""The pipelines of this process that were started and not shut down."""


def follow(pipeline: Forking) -> None:
    """Have ``pipeline`` start anew in the children of this process, and shut down where they end."""
    _open.append(pipeline)
    _follow_forks()
    if multiprocessing.parent_process() is not None:  # telemetry is set up in a child
        _shut_down_with_child(pipeline)
    _shut_down_with_celery(pipeline)


def leave(pipeline: Forking) -> None:
    """Forget ``pipeline``, which is shut down."""
    _open.remove(pipeline)


def is_master() -> bool:
    """Say whether this process only loads the application and forks the workers that do what there is to do.

    It would keep the port of the metrics; should it do something itself, it asks for the port then.
    """
    uwsgi = sys.modules.get("uwsgi")
    if uwsgi is not None and hasattr(uwsgi, "worker_id"):
        return bool(uwsgi.worker_id() == 0)
    frame: FrameType | None = sys._getframe()
    callers = set()
    while frame is not None:
        if frame.f_globals.get("__name__") == "gunicorn.arbiter":
            callers.add(frame.f_code.co_name)
        frame = frame.f_back
    return "setup" in callers and "spawn_worker" not in callers


@cache
def _follow_forks() -> None:
    """Have the open pipelines start anew in forked children, and shut down where these end.

    multiprocessing holds what its hooks are for by weak references, whose callbacks are written in Python:
    here it is something that lives as long as the process.
    """
    register_in_child(_after_fork)
    register_in_parent(_has_forked)
    multiprocessing.util.register_after_fork(Forking, lambda _: _shut_down_with_child(*_open))


def _has_forked() -> None:
    for pipeline in _open:
        pipeline.has_forked()


def _after_fork() -> None:
    for pipeline in _open:
        with guarded("setup"):
            pipeline.after_fork()
            _shut_down_with_celery(pipeline)


def _shut_down_with_child(*pipelines: Forking) -> None:
    """Children of multiprocessing leave by os._exit, past every exit hook but those of multiprocessing."""
    for pipeline in pipelines:
        multiprocessing.util.Finalize(None, pipeline.shutdown, exitpriority=100)


def _shut_down_with_celery(pipeline: Forking) -> None:
    """Children of Celery's pool leave by os._exit too, past every hook but a signal of Celery's own."""
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        signals.worker_process_shutdown.connect(
            lambda **_: pipeline.shutdown(), weak=False, dispatch_uid=f"analysis-telemetry {id(pipeline)}"
        )
