"""The Chromium in which tests open pages: that of the system, else Debian's, which is installed."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, sync_playwright

from tests.debian import apt_get

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")


class ChromiumUnavailable(RuntimeError):
    """There is no Chromium, and none could be installed."""


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Start a headless Chromium.

    Raises:
        ChromiumUnavailable: there is none; the message says what to do.
    """
    with sync_playwright() as playwright:
        options = [] if os.geteuid() else ["--no-sandbox"]  # Chromium's sandbox does not work for root
        browser = playwright.chromium.launch(executable_path=chromium(), args=options)
        try:
            yield browser
        finally:
            browser.close()


def chromium() -> str:
    """Return the path of a Chromium; TEST_CHROMIUM may name one."""
    if chosen := os.environ.get("TEST_CHROMIUM") or _installed():
        return chosen
    with (Path(tempfile.gettempdir()) / "analysis-telemetry-chromium.lock").open("w") as lock:
        fcntl.lockf(lock, fcntl.LOCK_EX)  # concurrent test runs install it once
        if _installed() is None:
            _install()
    installed = _installed()
    assert installed is not None
    return installed


def _installed() -> str | None:
    return next((path for name in NAMES if (path := shutil.which(name))), None)


def _install() -> None:
    try:
        if os.geteuid() != 0:
            raise ChromiumUnavailable("only root may install packages")
        apt_get("update")
        apt_get("install", "--yes", "--no-install-recommends", "chromium")
    except (OSError, subprocess.CalledProcessError, ChromiumUnavailable) as error:
        reason = getattr(error, "stderr", "") or str(error)
        raise ChromiumUnavailable(
            f"no Chromium found, nor could Debian's be installed ({reason.strip()}):"
            " install chromium, or name the program in TEST_CHROMIUM"
        ) from error
