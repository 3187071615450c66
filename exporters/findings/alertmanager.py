"""Findings as alerts of an Alertmanager (its API v2), which groups, routes, silences and repeats them."""

from __future__ import annotations

import http.client
import json
import os
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from telemetry._internal.service_url import split_login

from .channel import NotSentError, fingerprint
from .finding import Finding

ACTIVE: Final = timedelta(hours=26)
"""How long an alert stays active unless it is sent again.

Until the check of the next day has had its say: a finding that is still there goes on as the same alert, one
that is gone is resolved. The longest day has 25 hours.
"""
TIMEOUT_SECONDS: Final = 10.0


class _NoRedirect(HTTPRedirectHandler):
    """A redirected POST becomes a GET, such as of a page to log in: it would look like success."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener: Final = build_opener(_NoRedirect)


class Alertmanager:
    """One Alertmanager; of a cluster, any member."""

    def __init__(self, url: str, active: timedelta = ACTIVE) -> None:
        """Prepare; nothing is sent yet.

        Args:
            url: of its front page, perhaps with a user and a password.
            active: how long an alert stays active.
        """
        page, login = split_login(url)
        parts = urlsplit(page)
        self.name = f"alertmanager {fingerprint(url)}"
        self._place = f"{parts.scheme}://{parts.netloc}"
        self._url = f"{self._place}{parts.path.rstrip('/')}/api/v2/alerts"
        self._headers = {"Content-Type": "application/json", **login}
        self._active = active

    def send(self, finding: Finding) -> None:
        """Make it an active alert.

        Raises:
            NotSentError: when the Alertmanager did not take it.
        """
        body = json.dumps([self._alert(finding)]).encode()
        request = Request(self._url, body, self._headers, method="POST")
        try:
            with _opener.open(request, timeout=TIMEOUT_SECONDS):
                pass
        except HTTPError as error:
            with error:
                raise self._refused(f"HTTP {error.code} {error.reason}") from None
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise self._refused(str(getattr(error, "reason", error)) or type(error).__name__) from None

    def _alert(self, finding: Finding) -> dict[str, Any]:
        labels = {
            "alertname": alert_name(finding),
            "severity": "critical" if finding.is_severe else "warning",
        }
        if service := os.environ.get("OTEL_SERVICE_NAME"):
            labels["service"] = service
        now = datetime.now(UTC)
        return {
            "labels": labels,
            "annotations": {
                "summary": finding.title,
                "description": f"{finding.message} {finding.action}",
            },
            "startsAt": now.isoformat(),  # by default it would be the end
            "endsAt": (now + self._active).isoformat(),
        }

    def _refused(self, reason: str) -> NotSentError:
        return NotSentError(
            f"TELEMETRY_ALERTMANAGER_URL: {self._place} did not take the alert ({reason}): "
            "correct the address or look whether it is up; what was not sent is sent the next time"
        )


def alert_name(finding: Finding) -> str:
    """Return the name of its alert: ``rate_limited_jobs`` is ``TelemetryRateLimitedJobs``."""
    return "Telemetry" + "".join(word.capitalize() for word in finding.name.split("_"))
