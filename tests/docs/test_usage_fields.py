"""The page about the fields of usages, and that the code knows all that the installed client brings."""

from __future__ import annotations

import runpy
from pathlib import Path

import openai
import pytest

from telemetry.usage.fields import costs_its_tokens_alone

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "usage_fields.py"))
UPDATE = "say in telemetry/usage/fields.py what it costs, then `make docs`"


def test_every_field_of_a_usage_is_known() -> None:
    """A client that brings a new count is noticed here, before anybody pays for it."""
    unknown = {f"{field.owner}.{'.'.join(field.path)}" for field in SCRIPT["fields"]() if not field.treatment}
    assert not unknown, f"{', '.join(sorted(unknown))}: {UPDATE}"


def test_every_type_of_output_is_known() -> None:
    """So is one whose responses can hold something new."""
    unknown = {output for output in SCRIPT["outputs"]() if costs_its_tokens_alone(output) is None}
    assert not unknown, f"{', '.join(sorted(unknown))}: {UPDATE}"


def test_the_page_is_what_the_code_does() -> None:
    """What was changed in the tables is changed on the page."""
    written = SCRIPT["PAGE"].read_text()
    if f"openai {openai.__version__} " not in written:
        pytest.skip("the page is made with another version of the client")
    assert SCRIPT["page"]() == written, "run `make docs`"
