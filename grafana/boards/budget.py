"""What was spent against the budgets of the settings, from the gauges that the application exports."""

from __future__ import annotations

from grafana_foundation_sdk.builders.dashboard import Panel

from grafana.parts.kinds import figures
from grafana.parts.panels import DOLLARS, SHARE, About, Owner
from grafana.parts.plots import course
from grafana.parts.queries import APPLICATION, Metrics
from telemetry.conventions.gauges import (
    SPEND_MONTH,
    SPEND_MONTH_FORECAST,
    SPEND_MONTH_INCOMPLETE,
    SPEND_TODAY,
    SPEND_TODAY_INCOMPLETE,
)
from telemetry.settings import Settings

from .shared import BOUND, BOUND_LINE, INCOMPLETE, NO_GAUGES

MONTH_BOUND = APPLICATION.most(SPEND_MONTH_INCOMPLETE)
TODAY_BOUND = APPLICATION.most(SPEND_TODAY_INCOMPLETE)


def used() -> Panel:
    """Return the share of the monthly budget that is spent."""
    settings = Settings()
    limit = settings.budget_month_usd
    return figures(
        About(
            title="Budget used this month",
            question=f"How much of the monthly budget of ${limit:,.0f} is spent?",
            empty=NO_GAUGES,
        ),
        [
            Metrics(f"{APPLICATION.most(SPEND_MONTH)} * {1 / limit if limit else 0:g}", "Used"),
            Metrics(MONTH_BOUND, INCOMPLETE),
        ],
        unit=SHARE,
        decimals=1,
        limits={0: "green", settings.budget_warning_share: "orange", 1: "red"},
        columns={INCOMPLETE: BOUND},
    )


def month() -> Panel:
    """Return what this month costs until now, and at its end."""
    settings = Settings()
    limit, warning = settings.budget_month_usd, settings.budget_month_usd * settings.budget_warning_share
    return figures(
        About(
            title="This month against the budget",
            question=f"What was spent this month, and what will it be at its end? The budget is ${limit:,.0f}.",
            empty=NO_GAUGES,
        ),
        [
            Metrics(APPLICATION.most(SPEND_MONTH), "Spent"),
            Metrics(APPLICATION.most(SPEND_MONTH_FORECAST), "At the end of the month"),
            Metrics(MONTH_BOUND, INCOMPLETE),
        ],
        unit=DOLLARS,
        decimals=2,
        limits={0: "green", warning: "orange", limit: "red"},
        columns={INCOMPLETE: BOUND},
    )


def burn_down() -> Panel:
    """Return what is left of the monthly budget over time."""
    limit = Settings().budget_month_usd
    return course(
        About(
            title="Budget left this month",
            question=f"How fast is the budget of ${limit:,.0f} used up? Below zero it is passed.",
            empty=NO_GAUGES,
        ),
        [Metrics(f"{limit:g} - {APPLICATION.most(SPEND_MONTH)}", "Left"), Metrics(MONTH_BOUND, INCOMPLETE)],
        unit=DOLLARS,
        limits={-1e9: "red", 0: "text"},
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
        [Metrics(APPLICATION.most(SPEND_TODAY), "Today"), Metrics(TODAY_BOUND, INCOMPLETE)],
        unit=DOLLARS,
        limits={0: "text", Settings().budget_day_usd: "red"},
        columns={INCOMPLETE: BOUND_LINE},
    )
