"""End telemetry in the parent process of a reloading development server.

Both processes load the application. The parent, which only restarts the child, would keep the metrics port
that the child needs.
"""

from __future__ import annotations

import functools
import os

from telemetry._internal.guard import guarded
from telemetry.setup import process as setup


def leave_to_child() -> None:
    """End telemetry in this process when it becomes the parent that restarts the other.

    This covers ``flask run --debug``, ``app.run(debug=True)`` and other users of Werkzeug's reloader. The
    reloader has no hook, so its method is wrapped.
    """
    if os.environ.get("WERKZEUG_RUN_MAIN") == "true":
        return
    try:
        from werkzeug._reloader import ReloaderLoop
    except ImportError:  # another version of Werkzeug: both processes keep telemetry
        return
    original = getattr(ReloaderLoop, "restart_with_reloader", None)
    if original is None or hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def restart_with_reloader(self: ReloaderLoop) -> int:
        with guarded("setup"):
            setup.shutdown()
        return int(original(self))

    ReloaderLoop.restart_with_reloader = restart_with_reloader  # type: ignore[method-assign]
