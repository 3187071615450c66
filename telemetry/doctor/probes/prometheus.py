"""Query Prometheus for the number of series of telemetry."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from dataclasses import dataclass
from http.client import HTTPResponse
from typing import Final
from urllib.parse import quote

from telemetry._internal.context import suppressed
from telemetry._internal.urls.service_url import split_login

QUERY: Final = 'count({__name__=~"analysis[._]runs.*|telemetry[._]internal[._]errors.*"})'
"""Counts series that every process with telemetry has from its start."""


class Refused(Exception):
    """Prometheus does not answer, or not correctly; the message says why."""


@dataclass(frozen=True, slots=True)
class Series:
    """An answer of Prometheus."""

    count: str
    """Number of series; empty if there are none."""
    date: str
    """Time of the answer by the clock of the server: a header of HTTP."""
    at: float
    """Time of the answer by the clock of this machine, in epoch seconds."""


def ask(url: str, seconds: float) -> Series:
    """Query the Prometheus at ``url``.

    Args:
        url: its address; a user and a password in it are used.
        seconds: timeout.

    Raises:
        Refused: if there is no answer, or not one of Prometheus.
    """
    address = f"{url.rstrip('/')}/api/v1/query?query={quote(QUERY)}"
    try:
        with suppressed(), _opened(address, seconds) as response:
            at, date, body = time.time(), response.headers.get("Date", ""), response.read()
    except urllib.error.HTTPError as error:
        raise Refused(f"answered {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        reason = getattr(error.reason, "strerror", None) or str(error.reason)
        raise Refused(f"does not answer: {reason.lower()}") from None
    except OSError as error:
        raise Refused(f"does not answer: {str(error.strerror or error).lower()}") from None
    try:
        answer = json.loads(body)
        if answer["status"] == "success" and isinstance(answer["data"]["result"], list):
            series = answer["data"]["result"]
            return Series(str(series[0]["value"][1]) if series else "", date, at)
    except (ValueError, LookupError, TypeError):
        pass
    raise Refused("is no Prometheus: it does not know /api/v1/query")


def _opened(url: str, seconds: float) -> HTTPResponse:
    page, login = split_login(url)
    request = urllib.request.Request(page, headers=login)
    response: HTTPResponse = urllib.request.urlopen(request, timeout=seconds)
    return response
