"""Send severe findings to the configured channels, once a day each, also if many processes find them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from exporters.sql.database import claims
from exporters.sql.database.engine import create_engine
from telemetry._internal.context import suppressed
from telemetry.settings import Settings

from .alertmanager import Alertmanager
from .channel import Channel, NotSentError
from .finding import Finding


@dataclass(frozen=True, slots=True)
class Outcome:
    """What was sent, and what failed."""

    sent: int
    """Number of messages that were sent now."""
    known: int
    """Messages that were sent before, or are being sent by another process."""
    problems: tuple[str, ...]
    """A line for each channel that failed; what it did not accept is sent the next time."""


def notify(settings: Settings, findings: Iterable[Finding]) -> Outcome:
    """Send the severe ones among ``findings`` to every channel in ``settings``.

    Raises:
        ValueError: if the URL of the database cannot be used.
        sqlalchemy.exc.SQLAlchemyError: if the database cannot be used.
    """
    severe = [finding for finding in findings if finding.is_severe]
    problems: list[str] = []
    tallies: Counter[bool] = Counter()
    engine = create_engine(settings.database_url)
    try:
        with suppressed():
            for channel in _channels(settings, problems):
                try:
                    tallies.update(_send_once(engine, channel, finding) for finding in severe)
                except NotSentError as error:
                    problems.append(str(error))
    finally:
        engine.dispose()
    return Outcome(tallies[True], tallies[False], tuple(problems))


def _channels(settings: Settings, problems: list[str]) -> list[Channel]:
    """Return the configured channels, and add those that cannot be used to ``problems``."""
    channels: list[Channel] = []
    if settings.alertmanager_url:
        channels.append(Alertmanager(settings.alertmanager_url, settings.alert_job))
    for place, url in enumerate(settings.notify, 1):
        try:
            channels.append(_apprise(url, place))
        except NotSentError as error:
            problems.append(str(error))
    if not channels and not problems:
        problems.append("there is nowhere to send to: set TELEMETRY_ALERTMANAGER_URL or TELEMETRY_NOTIFY")
    return channels


def _apprise(url: str, place: int) -> Channel:
    try:
        from .apprise import AppriseChannel
    except ImportError as error:
        raise NotSentError(f"TELEMETRY_NOTIFY needs analysis-telemetry[notify] ({error})") from None
    return AppriseChannel(url, place)


def _send_once(engine: Engine, channel: Channel, finding: Finding) -> bool:
    """Send a finding, unless it was sent before; return whether it was sent now."""
    task = f"send {finding.name} to {channel.name}"
    if not claims.claim(engine, finding.day, task):
        return False
    try:
        channel.send(finding)
    except BaseException:
        with suppress(SQLAlchemyError):  # then the claim expires
            claims.release(engine, finding.day, task)
        raise
    claims.finish(engine, finding.day, task)
    return True
