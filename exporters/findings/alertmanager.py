"""Send findings to an Alertmanager (API v2), which groups, routes, silences and repeats them."""

from __future__ import annotations

import http.client
import json
from datetime import UTC, datetime, timedelta
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from telemetry._internal.urls.service_url import split_login

from .channel import NotSentError, fingerprint
from .finding import Finding

ACTIVE: Final = timedelta(hours=26)
"""How long an alert stays active unless it is sent again.

It is long enough for the next daily check: a finding that persists continues the same alert, and any other
alert is resolved. The longest day has 25 hours.
"""
TIMEOUT_SECONDS: Final = 10.0
SOURCE: Final = "insights"
"""The label `source` of findings, by which routes know them from alerts of Prometheus."""
RULES: Final = {
    "rate_limited_jobs": "AnalysisJobsRateLimited",
    "quota_used_up": "AnalysisQuotaUsedUp",
    "spend_limit_reached": "AnalysisSpendLimitReached",
    "daily_budget": "AnalysisDailyBudgetPassed",
    "monthly_budget": "AnalysisMonthlyBudgetPassed",
    "job_budget": "AnalysisJobBudgetPassed",
    "cost": "AnalysisCostAnomaly",
    "errors": "AnalysisFailureAnomaly",
}
"""By finding the alert rule about the same figures, by the same settings; it takes the name of the rule.

So a silence of the alert holds for both, and our configuration of Alertmanager sends only one of them.
"""


class _NoRedirect(HTTPRedirectHandler):
    """Refuses redirects: a redirected POST becomes a GET, perhaps of a login page, and seems to succeed."""

    def redirect_request(self, *_: Any) -> None:
        return None


_opener: Final = build_opener(_NoRedirect)


class Alertmanager:
    """An Alertmanager, or any member of a cluster."""

    def __init__(self, url: str, service: str, active: timedelta = ACTIVE) -> None:
        """Prepare the channel; nothing is sent yet.

        Args:
            url: of its web page, optionally with a user and a password.
            service: the label `service` of the alerts, as in the rules: TELEMETRY_ALERT_JOB.
            active: how long an alert stays active.
        """
        page, login = split_login(url)
        parts = urlsplit(page)
        self.name = f"alertmanager {fingerprint(url)}"
        self._place = f"{parts.scheme}://{parts.netloc}"
        self._url = f"{self._place}{parts.path.rstrip('/')}/api/v2/alerts"
        self._headers = {"Content-Type": "application/json", **login}
        self._service = service
        self._active = active

    def send(self, finding: Finding) -> None:
        """Send a finding as an active alert.

        Raises:
            NotSentError: if the Alertmanager did not accept it.
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
        now = datetime.now(UTC)
        return {
            "labels": {
                "alertname": alert_name(finding),
                "severity": "critical" if finding.is_severe else "warning",
                "service": self._service,
                "source": SOURCE,
            },
            "annotations": {
                "summary": finding.title,
                "description": f"{finding.message} {finding.action}",
            },
            "startsAt": now.isoformat(),  # by default it is that of the end
            "endsAt": (now + self._active).isoformat(),
        }

    def _refused(self, reason: str) -> NotSentError:
        return NotSentError(
            f"TELEMETRY_ALERTMANAGER_URL: {self._place} did not take the alert ({reason}): "
            "correct the address or check whether it is up; what was not sent is sent the next time"
        )


def alert_name(finding: Finding) -> str:
    """Return the name of the alert of a finding: that of its rule, else such as ``TelemetryQueueWait``."""
    words = finding.name.split("_")
    return RULES.get(finding.name) or "Telemetry" + "".join(word.capitalize() for word in words)
