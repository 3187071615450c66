"""The page of usage fields is up to date, and the code knows every field of the installed client."""

from __future__ import annotations

import runpy
from pathlib import Path

import openai
import pytest

from telemetry.usage.fields import costs_its_tokens_alone

SCRIPT = runpy.run_path(str(Path(__file__).parents[2] / "docs" / "usage_fields.py"))
UPDATE = "say in telemetry/usage/fields.py what it costs, then `make docs`"


def test_every_usage_field_of_the_client_is_known() -> None:
    """A client with a new field fails here."""
    unknown = {f"{field.owner}.{'.'.join(field.path)}" for field in SCRIPT["fields"]() if not field.treatment}
    assert not unknown, f"{', '.join(sorted(unknown))}: {UPDATE}"


def test_every_output_type_of_the_client_is_known() -> None:
    """A client with a new type of output fails here."""
    unknown = {output for output in SCRIPT["outputs"]() if costs_its_tokens_alone(output) is None}
    assert not unknown, f"{', '.join(sorted(unknown))}: {UPDATE}"


def test_page_is_up_to_date() -> None:
    """The committed page is what `make docs` writes with the same version of the client."""
    written = SCRIPT["PAGE"].read_text()
    if f"openai {openai.__version__} " not in written:
        pytest.skip("the page is made with another version of the client")
    assert SCRIPT["page"]() == written, "run `make docs`"
