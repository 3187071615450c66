"""A development server that reloads is two processes: this tells apart the one that only restarts the other.

Both load the application. The one that watches would keep the port of the metrics, for which the one that
answers requests then asks in vain.
"""

from __future__ import annotations

import functools
import os

from telemetry._internal.guard import guarded
from telemetry.setup import process as setup


def leave_to_child() -> None:
    """End telemetry in this process at the moment it becomes the one that restarts the other.

    That covers ``flask run --debug``, ``app.run(debug=True)`` and whatever else uses Werkzeug's reloader,
    which tells nobody: so its method is wrapped.
    """
    if os.environ.get("WERKZEUG_RUN_MAIN") == "true":
        return
    try:
        from werkzeug._reloader import ReloaderLoop
    except ImportError:  # another version: both processes go on
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
