"""The list of dashboards agrees with them, and leads to tests that exist."""

from __future__ import annotations

import re

import pytest

from docs.dashboards import FORMER_PAGE, PAGE, PLAN, TESTS, Place, page
from exporters.assets.host_values import HostValue, filled
from grafana.boards import users
from grafana.boards.common import budget
from grafana.parts import kinds, plots
from grafana.parts.queries import SOURCES
from telemetry import conventions
from telemetry.settings import Settings
from tests.grafana.dashboards import dashboards


def test_page_is_up_to_date() -> None:
    """`make docs` has written it."""
    assert PAGE.read_text() == page()


@pytest.mark.parametrize("place", [*FORMER_PAGE, *PLAN], ids=lambda place: place.what)
def test_each_figure_has_its_panel_and_its_test(place: Place) -> None:
    """None is lost when a panel is renamed."""
    board = dashboards()[f"{place.uid}.json"]
    assert place.panel in {panel["title"] for panel in board["panels"]}
    file, _, name = place.test.partition("::")
    assert f"\ndef {name}(" in (TESTS / file).read_text()


def test_the_panel_that_is_added_in_the_how_to_can_be_built() -> None:
    """Its code is taken from the page, into the module that the page names."""
    text = (PAGE.parents[1] / "how-to" / "dashboards.md").read_text()
    panel, query, with_value = re.findall(r"^```python\n(.*?)^```$", text, re.M | re.S)
    names = {**vars(users), "c": conventions}
    exec(panel, names)
    built = names["_idle"]().build()
    assert (built.type_val, built.title, len(built.targets)) == ("stat", "Users without a job", 1)

    (metrics,) = eval(query, names)
    assert "analysis_openai_cost_usd_total" in metrics.named("A").build().expr

    built = eval(with_value, vars(budget)).build()
    limits = [step.value for step in built.field_config.defaults.thresholds.steps]
    assert limits == [None, HostValue("budget_month_limit")] and "⟦budget_month⟧" in built.description


def test_the_how_to_lists_all_kinds_of_panels() -> None:
    """And the data sources with their defaults."""
    text = (PAGE.parents[1] / "how-to" / "dashboards.md").read_text()
    own = {
        name
        for module in (kinds, plots)
        for name, value in vars(module).items()
        if getattr(value, "__module__", "") == module.__name__
    }
    assert set(re.findall(r"^\| `(\w+)` \| ", text, re.M)) == {
        *(name for name in own if not name.startswith("_")),
        *(source.variable for source in SOURCES),
    }
    assert all(f"`{filled(f'{source.uid}', Settings())}`" in text for source in SOURCES)
