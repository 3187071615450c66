"""Dashboards fit Grafana's own types; a key that Grafana does not know, or a wrong value, is found."""

from __future__ import annotations

import copy
from collections.abc import Callable

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


SPOILT: tuple[Callable[[Json], None], ...] = (_misplaced, _unknown_key, _unknown_option, _unknown_value)


def test_an_error_is_found() -> None:
    """One in a dashboard is enough, in each of these places."""
    dashboards = [copy.deepcopy(each_dashboard()[0]) for _ in SPOILT]
    for dashboard, spoil in zip(dashboards, SPOILT, strict=True):
        spoil(dashboard["panels"][0])
    found = errors(dashboards)
    assert len(found) == len(SPOILT), found
