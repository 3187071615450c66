"""Dashboards fit Grafana's own types; a key that Grafana does not know, or a wrong value, is found."""

from __future__ import annotations

import copy
from collections.abc import Callable

import pytest

from tests.grafana.dashboards import Json, each_dashboard
from tests.grafana.typescript import errors


def test_dashboards_fit_the_types() -> None:
    """D36: with the options of all panels."""
    assert errors(each_dashboard()) == []


def _misplaced(panel: Json) -> None:
    panel["gridPos"] = "oops"


def _unknown_key(panel: Json) -> None:
    panel["fieldConfig"]["defaults"]["unitt"] = "s"


def _unknown_option(panel: Json) -> None:
    panel["options"]["textmode"] = "auto"


def _unknown_value(panel: Json) -> None:
    panel["options"]["colorMode"] = "colour"


@pytest.mark.parametrize("spoil", [_misplaced, _unknown_key, _unknown_option, _unknown_value])
def test_an_error_is_found(spoil: Callable[[Json], None]) -> None:
    """One is enough."""
    dashboard = copy.deepcopy(each_dashboard()[0])
    (panel, *_) = dashboard["panels"]
    spoil(panel)
    assert len(errors([dashboard])) == 1
