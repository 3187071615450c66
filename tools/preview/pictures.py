"""Open the page in Chromium: what it shows of each dashboard, and pictures of it."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from PIL import Image
from playwright.sync_api import Page

from tests.browser import open_browser

from .queries import WIDTH

MODES: Final = ("light", "dark")
COLORS: Final = 256
"""Colours of a picture, so that its file is small; there is no difference to see."""


@dataclass
class Preview:
    """A tab of the browser."""

    page: Page
    errors: list[str]
    """What went wrong in its scripts."""

    def show(self, page: Path, uid: str, mode: str) -> None:
        """Open a dashboard on a page, as `bundle` returns it, and wait until it is drawn."""
        self.page.goto(f"{page.as_uri()}?mode={mode}#{uid}")
        self.page.wait_for_selector(f'body[data-drawn="{uid} {mode}"]', timeout=60_000)

    def save(self, path: Path, height: int | None = None) -> None:
        """Save a picture of the whole page, or of its upper part, with few colours."""
        picture = Image.open(io.BytesIO(self.page.screenshot(full_page=True))).convert("RGB")
        picture = picture.crop((0, 0, picture.width, height or picture.height))
        few = picture.quantize(COLORS, kmeans=2, dither=Image.Dither.NONE)
        few.save(path, optimize=True)


@contextmanager
def opened() -> Iterator[Preview]:
    """Start a headless Chromium."""
    with open_browser() as browser:
        tab = browser.new_page(viewport={"width": WIDTH, "height": 900})
        preview = Preview(tab, [])
        tab.on("pageerror", lambda error: preview.errors.append(str(error)))
        yield preview
