"""The wheel, built as a release builds it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import wheel as built


@pytest.fixture(scope="session")
def wheel() -> Path:
    return built.wheel()
