"""Tell somebody what is severe, once a finding and day, however many processes look and however often."""

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
class Told:
    """What became of the severe findings."""

    sent: int
    """Messages that were sent now."""
    known: int
    """Those that had been sent before, or are just being sent by another process."""
    problems: tuple[str, ...]
    """A line for each channel that did not work; what it did not take is not remembered as sent."""


def notify(settings: Settings, findings: Iterable[Finding]) -> Told:
    """Send what is severe of ``findings`` to every channel that ``settings`` name.

    Raises:
        ValueError: for a URL of a database that cannot be used.
        sqlalchemy.exc.SQLAlchemyError: when the database refuses or is away.
    """
    severe = [finding for finding in findings if finding.is_severe]
    problems: list[str] = []
    tallies: Counter[bool] = Counter()
    engine = create_engine(settings.database_url)
    try:
        with suppressed():
            for channel in _channels(settings, problems):
                try:
                    tallies.update(_tell(engine, channel, finding) for finding in severe)
                except NotSentError as error:
                    problems.append(str(error))
    finally:
        engine.dispose()
    return Told(tallies[True], tallies[False], tuple(problems))


def _channels(settings: Settings, problems: list[str]) -> list[Channel]:
    """Return whom to tell; what cannot be used is a problem, whether or not there is something to tell."""
    found: list[Channel] = []
    if settings.alertmanager_url:
        found.append(Alertmanager(settings.alertmanager_url))
    for place, url in enumerate(settings.notify, 1):
        try:
            found.append(_apprise(url, place))
        except NotSentError as error:
            problems.append(str(error))
    if not found and not problems:
        problems.append("there is nowhere to send to: set TELEMETRY_ALERTMANAGER_URL or TELEMETRY_NOTIFY")
    return found


def _apprise(url: str, place: int) -> Channel:
    try:
        from .apprise import AppriseChannel
    except ImportError as error:
        raise NotSentError(f"TELEMETRY_NOTIFY needs analysis-telemetry[notify] ({error})") from None
    return AppriseChannel(url, place)


def _tell(engine: Engine, channel: Channel, finding: Finding) -> bool:
    """Tell of a finding, and remember it; return False when that was done before."""
    task = f"tell {finding.name} to {channel.name}"
    if not claims.claim(engine, finding.day, task):
        return False
    try:
        channel.send(finding)
    except BaseException:
        with suppress(SQLAlchemyError):  # then the claim runs out
            claims.release(engine, finding.day, task)
        raise
    claims.finish(engine, finding.day, task)
    return True
