"""What a pipeline is made of; modules that need an extra are loaded when a setting asks for them."""

from __future__ import annotations

import logging
import secrets
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from telemetry import conventions as c
from telemetry.settings import Settings

if TYPE_CHECKING:
    from exporters.metrics.instruments import Metrics
    from exporters.metrics.listener import Listener
    from exporters.spool.directory import Spool
    from exporters.sql.writer.thread import Writer
    from exporters.upkeep.daily_check import DailyCheck

    from .gauges import Gauges
    from .pipeline import Pipeline

_log = logging.getLogger("telemetry")


def with_key(settings: Settings) -> Settings:
    """Return the settings with a key for document keys: without a shared one, a key of this process."""
    if settings.hmac_key:
        return settings
    if settings.database_url:
        _log.warning(
            "TELEMETRY_HMAC_KEY is not set, nor was Flask's SECRET_KEY when telemetry was set up: documents"
            " are counted, but not matched with their candidate_files"
        )
    return replace(settings, hmac_key=secrets.token_hex())


def writer(pipeline: Pipeline) -> Writer:
    """Return what writes to the database; it needs the extra ``sql``."""
    from exporters.sql.writer.thread import Writer

    settings = pipeline.settings
    daily_check = partial(_daily_check, settings) if settings.daily_check else None
    fragments, spool, metrics = pipeline.recorder.fragments, pipeline.spool, pipeline.metrics
    return Writer(settings, fragments, spool, metrics, daily_check=daily_check)


def gauges(pipeline: Pipeline) -> Gauges:
    """Return the gauges that one process exports for all; they need the extra ``sql``."""
    from .gauges import Gauges

    return Gauges(pipeline.settings, pipeline.metrics, lambda: pipeline.spool.process_id)


def listener(pipeline: Pipeline) -> Listener:
    """Return what serves metrics to Prometheus; it needs the extra ``prometheus``."""
    from exporters.metrics.listener import Listener

    return Listener(pipeline.settings, pipeline.spool.publish_port)


def watch_spool(spool: Spool, metrics: Metrics) -> None:
    """Report what waits in the spool, and what is kept out of the database."""
    metrics.gauge(c.SPOOL_PENDING, spool.pending)
    metrics.gauge(c.SPOOL_OLDEST, spool.oldest_age)
    metrics.gauge(c.SPOOL_DEAD, spool.dead)
    metrics.gauge(c.SPOOL_UNREADABLE, lambda: sum(1 for _ in spool.unreadable()))


def _daily_check(settings: Settings, nudge: Callable[[], None]) -> DailyCheck:
    from exporters.upkeep.daily_check import DailyCheck

    return DailyCheck(settings, nudge)
