"""The list of dashboards agrees with them, and leads to tests that exist."""

from __future__ import annotations

import json

import pytest

from docs.dashboards import FORMER_PAGE, PAGE, PLAN, TESTS, Place, page
from grafana.write import files


def test_page_is_up_to_date() -> None:
    """`make docs` has written it."""
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("place", [*FORMER_PAGE, *PLAN], ids=lambda place: place.what)
def test_each_figure_has_its_panel_and_its_test(place: Place) -> None:
    """None is lost when a panel is renamed."""
    board = json.loads(files()[f"{place.uid}.json"])
    assert place.panel in {panel["title"] for panel in board["panels"]}
    file, _, name = place.test.partition("::")
    assert f"\ndef {name}(" in (TESTS / file).read_text()
