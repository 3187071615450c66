"""Send findings by Apprise: as e-mail, to Slack, to a webhook and to the other services it supports.

Its addresses contain passwords and tokens anywhere, so only their scheme is ever shown.
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
    """Drops what Apprise logs about our messages; :class:`NotSentError` says it in one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not _is_ours.get()


logging.getLogger("apprise").addFilter(_NotOurs())


class AppriseChannel:
    """The service at one address."""

    def __init__(self, url: str, place: int) -> None:
        """Prepare the channel; nothing is sent yet.

        Args:
            url: in the syntax of Apprise.
            place: its position in TELEMETRY_NOTIFY, from 1.

        Raises:
            NotSentError: if Apprise cannot use it.
        """
        self.name = f"apprise {fingerprint(url)}"
        self._shown = f"TELEMETRY_NOTIFY: address {place} ({url.partition('://')[0]}://…)"
        # In this thread, with the timeouts of each service: a thread pool would keep the process alive.
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
                f"{self._shown} cannot be used by Apprise: try it with apprise -vv -b test ADDRESS"
            )
        self._apprise = Apprise(service, asset=asset)

    def send(self, finding: Finding) -> None:
        """Send a finding as a message.

        Raises:
            NotSentError: if it was not delivered.
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
