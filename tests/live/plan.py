"""Which incidents are played, in which order, and which alerts none of them provokes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from tests.live.incident import Incident
from tests.live.incidents import calls, collector, days, jobs, money, pipeline, platform

Lanes = tuple[tuple[Incident, ...], ...]
"""They are played beside each other, and the incidents of each one after the other."""
PHASES: Final[tuple[Lanes, ...]] = (
    ((platform.application_off,),),
    (
        (jobs.model_fails,),
        (jobs.process_hangs,),
        (jobs.overrides,),
        (jobs.worker_killed, jobs.rate_limited),
        (jobs.stage_slow,),
        (money.month, money.month_nearly),
        (days.unusual_day,),
        (days.edited, calls.headroom),
        (calls.unpriced,),
        (calls.usage_missing,),
        (calls.orphaned,),
        (collector.traces_forgotten,),
        (collector.queue_fills, collector.queue_full),
        (platform.rule_fails, platform.second_alertmanager_down, platform.prometheus_misconfigured),
        (platform.target_down, platform.alertmanager_misconfigured, platform.webhook_gone),
        (pipeline.refused_for_good, pipeline.database_slow),
    ),
    # Refusals for want of money silence jobs that fail; what costs much today costs much this month; and the
    # daily check marks silent runs.
    (
        (calls.quota,),
        (calls.spend_limit,),
        (money.day_nearly, money.day, money.job),
        (days.health_log,),
    ),
    # Without a database, or the Collector, little else is seen.
    (
        (pipeline.table_locked,),
        (pipeline.view_gone,),
    ),
    ((pipeline.database_down, collector.collector_down),),
    ((platform.prometheus_dies,),),
)
"""One after the other."""
NOT_PROVOKED: Final[dict[str, str]] = {
    "PrometheusWithoutAlertmanager": "without an Alertmanager nobody is told; it is seen in Prometheus",
}
"""Alerts that none of them provokes, with the reason."""


def incidents() -> list[Incident]:
    """Return all incidents."""
    return [one for phase in PHASES for lane in phase for one in lane]


def phases(alerts: Sequence[str]) -> list[list[list[Incident]]]:
    """Return the plan with those incidents only that raise one of some alerts; all if there are none.

    Those with which everything begins and ends are always played.
    """
    always = (platform.application_off, platform.prometheus_dies)
    return [
        [
            [one for one in lane if not alerts or one in always or not set(alerts).isdisjoint(one.all)]
            for lane in phase
        ]
        for phase in PHASES
    ]
