"""Findings as messages through Apprise: by e-mail, Slack, webhook and whatever else it knows.

The addresses hold passwords and tokens, in any place: of them only the scheme is ever shown.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

from apprise import Apprise, AppriseAsset, NotifyFormat, NotifyType

from .channel import NotSentError, fingerprint
from .finding import Finding

_is_ours: ContextVar[bool] = ContextVar("is_ours", default=False)


class _NotOurs(logging.Filter):
    """Keeps what Apprise says of our messages out of the log: we tell it ourselves, and in one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _is_ours.get()


logging.getLogger("apprise").addFilter(_NotOurs())


class AppriseChannel:
    """One address."""

    def __init__(self, url: str, place: int) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: as Apprise takes it.
            place: which of the addresses in TELEMETRY_NOTIFY it is, from 1.

        Raises:
            NotSentError: when Apprise cannot use it.
        """
        self.name = f"apprise {fingerprint(url)}"
        self._shown = f"TELEMETRY_NOTIFY: address {place} ({url.partition('://')[0]}://…)"
        # In this thread, with each service's own time limits: a pool of threads would keep the process.
        asset = AppriseAsset(
            app_id="analysis-telemetry",
            app_desc="analysis-telemetry",
            async_mode=False,
            image_url_mask="",
            image_url_logo="",
            service_timeout=0,
        )
        with _in_silence():
            service = Apprise.instantiate(url, asset=asset)
        if service is None:
            raise NotSentError(
                f"{self._shown} is none that Apprise can use: try it with apprise -vv -b test ADDRESS"
            )
        self._apprise = Apprise(service, asset=asset)

    def send(self, finding: Finding) -> None:
        """Send it as a message.

        Raises:
            NotSentError: when it did not get through.
        """
        with _in_silence():
            was_sent = self._apprise.notify(
                title=finding.title,
                body=f"{finding.message}\n{finding.action}",
                notify_type=NotifyType.FAILURE,
                body_format=NotifyFormat.TEXT,
            )
        if not was_sent:
            raise NotSentError(
                f"{self._shown} did not take the message: try it with apprise -vv -b test ADDRESS; "
                "what was not sent is sent the next time"
            )


@contextmanager
def _in_silence() -> Iterator[None]:
    token = _is_ours.set(True)
    try:
        yield
    finally:
        _is_ours.reset(token)
