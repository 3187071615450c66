"""Rules about calls to OpenAI: refused, failing, or close to a rate limit.

A used-up quota and a reached spend limit have alerts of their own, and count for no other.
"""

from __future__ import annotations

from collections.abc import Iterator

from telemetry import conventions as c
from telemetry.conventions.vocabulary import QUOTA_USED_UP, SPEND_LIMIT_REACHED
from telemetry.settings import Settings

from .. import dashboards
from ..alert import Alert, Group
from ..expression import Application, number


def calls(settings: Settings) -> Group:
    """Return the rules about calls to OpenAI."""
    application = Application.of(settings)
    return Group(
        "calls",
        60,
        (*_refused(application), *_failing(settings, application), _headroom(settings, application)),
    )


def _refused(application: Application) -> Iterator[Alert]:
    for status, name, what in (
        (QUOTA_USED_UP, "AnalysisQuotaUsedUp", "the quota is used up"),
        (SPEND_LIMIT_REACHED, "AnalysisSpendLimitReached", "the spend limit is reached"),
    ):
        refused = application.risen(c.OPENAI_ATTEMPTS, "10m", f'status="{status}"')
        yield Alert(
            name=name,
            severity="critical",
            expression=f"{refused} > 0",
            summary=f"OpenAI refuses calls because {what}.",
            description=f'About {{{{ $value | printf "%.0f" }}}} calls in 10 minutes were refused: {what}.',
            dashboard=dashboards.RATE_LIMITS,
            service=application.job,
            at_once="every call is refused until somebody acts.",
            keep_seconds=1800,
        )


def _failing(settings: Settings, application: Application) -> Iterator[Alert]:
    failed = application.risen(c.OPENAI_ATTEMPTS, "10m", 'status!~"200|429.*|cancelled"')
    attempts = application.risen(c.OPENAI_ATTEMPTS, "10m")
    yield Alert(
        name="AnalysisOpenAIErrors",
        severity="warning",
        expression=(
            f"{failed}\n/ ({attempts} > 0) > {number(settings.openai_failed_share)}\n"
            f"and on (job) {attempts} >= {settings.openai_min_attempts}"
        ),
        summary="Many requests to OpenAI fail, for reasons other than limits.",
        description="{{ $value | humanizePercentage }} of the requests in 10 minutes failed.",
        dashboard=dashboards.ERRORS,
        service=application.job,
        settings=("openai_failed_share", "openai_min_attempts"),
        for_seconds=120,
        keep_seconds=300,
    )
    given_up = application.risen(c.OPENAI_OPERATIONS, "15m", f'outcome="{c.ERROR}"')
    retried = application.risen(c.OPENAI_RETRIES, "15m")
    yield Alert(
        name="AnalysisRetriesExhausted",
        severity="warning",
        expression=f"{given_up} > {settings.openai_failed_calls}\nand on (job) {retried} > 0",
        summary="Calls to OpenAI fail although the client retries them.",
        description='About {{ $value | printf "%.0f" }} calls failed in 15 minutes.',
        dashboard=dashboards.ERRORS,
        service=application.job,
        settings=("openai_failed_calls",),
        for_seconds=120,
        keep_seconds=300,
    )


def _headroom(settings: Settings, application: Application) -> Alert:
    asked = application.risen(c.OPENAI_ATTEMPTS, "10m", by=("instance",))
    return Alert(
        name="AnalysisHeadroomNearlyGone",
        severity="info",
        # A process that asks no more still shows what was left when it did.
        expression=(
            f"min by (job, model, limit) (\n"
            f"  {application.series(c.OPENAI_HEADROOM)} < {number(settings.headroom_share)}\n"
            f"  and on (job, instance) ({asked} > 0)\n"
            ")"
        ),
        summary="Little of a rate limit is left.",
        description=(
            "{{ $value | humanizePercentage }} of the {{ $labels.limit }} of {{ $labels.model }} are left."
        ),
        dashboard=dashboards.RATE_LIMITS,
        service=application.job,
        settings=("headroom_share",),
        for_seconds=300,
    )
