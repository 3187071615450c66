"""Forked children of this process: pipelines start anew there, and shut down at their end."""

from __future__ import annotations

import multiprocessing.util
import sys
from functools import cache
from types import FrameType
from typing import Final, Protocol

from telemetry._internal.guard import guarded
from telemetry._internal.process.forks import register_in_child, register_in_parent


class Forking(Protocol):
    """An object that starts anew in forked children: a pipeline."""

    def has_forked(self) -> None:
        """Note in the parent that a child was forked."""

    def after_fork(self) -> None:
        """Start anew in the child."""

    def shutdown(self) -> object:
        """Save and deliver everything, because the process ends."""


_open: Final[list[Forking]] = []
"""The pipelines of this process that are started and not yet shut down."""


def follow(pipeline: Forking) -> None:
    """Have ``pipeline`` start anew in children of this process, and shut down at their end."""
    _open.append(pipeline)
    _follow_forks()
    if multiprocessing.parent_process() is not None:  # this process is itself a child of multiprocessing
        _shut_down_with_child(pipeline)
    _shut_down_with_celery(pipeline)


def unfollow(pipeline: Forking) -> None:
    """Stop following ``pipeline``, which has shut down."""
    _open.remove(pipeline)


def is_master() -> bool:
    """Return whether this process is the master of a server, which only forks the workers.

    A master that listened for Prometheus would keep the port from its workers. If it does record a run,
    it starts to listen then.
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
    """Register the hooks for forks, once.

    multiprocessing refers weakly to the object of a hook, with a callback that is written in Python and could
    swallow the exception of a signal handler. So the object here is a class, which lives until the end.
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
    """Shut down at the end of a child of multiprocessing, which only runs its own exit hooks."""
    for pipeline in pipelines:
        multiprocessing.util.Finalize(None, pipeline.shutdown, exitpriority=100)


def _shut_down_with_celery(pipeline: Forking) -> None:
    """Shut down at the end of a worker of Celery's pool, which runs no exit hooks and sends this signal."""
    signals = sys.modules.get("celery.signals")
    if signals is not None:
        signals.worker_process_shutdown.connect(
            lambda **_: pipeline.shutdown(), weak=False, dispatch_uid=f"analysis-telemetry {id(pipeline)}"
        )
