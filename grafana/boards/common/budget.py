"""What was spent against the budgets of the settings, from the gauges that the application exports."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Panel

from exporters.assets.host_values import HostValue
from grafana.parts.kinds import figures
from grafana.parts.panels import DOLLARS, SHARE, About, Column, Owner
from grafana.parts.plots import course
from grafana.parts.queries import APPLICATION, Metrics
from telemetry.conventions.gauges import (
    SPEND_MONTH,
    SPEND_MONTH_FORECAST,
    SPEND_MONTH_INCOMPLETE,
    SPEND_TODAY,
    SPEND_TODAY_INCOMPLETE,
)

from .shared import BOUND, BOUND_LINE, INCOMPLETE, NO_GAUGES

BUDGET = HostValue("budget_month")
LIMIT = HostValue("budget_month_usd")
"""Zero if there is none."""
NO_BUDGET = f"There is no monthly budget. Or: {NO_GAUGES}"
MONTH_BOUND = APPLICATION.most(SPEND_MONTH_INCOMPLETE)
TODAY_BOUND = APPLICATION.most(SPEND_TODAY_INCOMPLETE)


def used() -> Panel:
    """Return the share of the monthly budget that is spent."""
    return figures(
        About(
            title="Budget used this month",
            question=f"How much of the monthly budget is spent? Budget: {BUDGET}.",
            empty=NO_BUDGET,
        ),
        [
            Metrics(_if_limited(f"{APPLICATION.most(SPEND_MONTH)} / {LIMIT}"), "Used"),
            Metrics(MONTH_BOUND, INCOMPLETE),
        ],
        unit=SHARE,
        decimals=1,
        limits={0: "green", HostValue("budget_warning_share"): "orange", 1: "red"},
        columns={INCOMPLETE: BOUND},
    )


def month() -> Panel:
    """Return what this month costs until now, and at its end."""
    return figures(
        About(
            title="This month against the budget",
            question=f"What was spent this month, and what will it be at its end? Budget: {BUDGET}.",
            empty=NO_GAUGES,
        ),
        [
            Metrics(APPLICATION.most(SPEND_MONTH), "Spent"),
            Metrics(APPLICATION.most(SPEND_MONTH_FORECAST), "At its end"),
            Metrics(MONTH_BOUND, INCOMPLETE),
        ],
        unit=DOLLARS,
        decimals=2,
        limits={
            0: "green",
            HostValue("budget_month_warning"): "orange",
            HostValue("budget_month_limit"): "red",
        },
        columns={
            # What is to come raises a warning only when it is above the budget.
            "At its end": Column(limits={0: "green", HostValue("budget_month_limit"): "orange"}),
            INCOMPLETE: BOUND,
        },
    )


def burn_down() -> Panel:
    """Return what is left of the monthly budget over time."""
    return course(
        About(
            title="Budget left this month",
            question=f"How fast is it used up? Below zero it is passed. Budget: {BUDGET}.",
            empty=NO_BUDGET,
        ),
        [
            Metrics(_if_limited(f"{LIMIT} - {APPLICATION.most(SPEND_MONTH)}"), "Left"),
            Metrics(f"{MONTH_BOUND} > 0", INCOMPLETE),
        ],
        unit=DOLLARS,
        limits={-1e9: "red", 0: "orange", HostValue("budget_month_spare"): "text"},
        columns={INCOMPLETE: BOUND_LINE},
    )


def today() -> Panel:
    """Return what was spent today over time, against the daily budget."""
    return course(
        About(
            title="Spent today",
            question="What was spent since midnight, in the time zone of the application?",
            owner=Owner.ON_CALL,
            empty=NO_GAUGES,
        ),
        [Metrics(APPLICATION.most(SPEND_TODAY), "Today"), Metrics(f"{TODAY_BOUND} > 0", INCOMPLETE)],
        unit=DOLLARS,
        limits={0: "text", HostValue("budget_day_warning"): "orange", HostValue("budget_day_limit"): "red"},
        columns={INCOMPLETE: BOUND_LINE},
    )


def _if_limited(expression: str) -> str:
    return f"{expression} and on () (vector({LIMIT}) > 0)"
