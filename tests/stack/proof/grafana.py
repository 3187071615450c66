"""Ask Grafana itself whether data sources are healthy, dashboards there, and queries of panels answered."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from typing import Any, Final
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from grafana.parts.expansion import VARIABLE
from tests.grafana.dashboards import each_dashboard, targets
from tests.stack import files

Json = dict[str, Any]
PERIOD: Final = {"from": "now-30d", "to": "now"}
VALUES: Final = {
    "segment": "all",
    "batch_size": "all",
    "user": "all",
    "model": "all",
    "job": "screener",
    "analysis": "",
}
"""The variables of dashboards as they are at first."""


class Api:
    """Grafana's HTTP API, as its admin."""

    def __init__(self, url: str, password: str) -> None:
        self._url = url
        self._credentials = base64.b64encode(f"admin:{password}".encode()).decode()

    def ask(self, path: str, body: Json | None = None) -> Any:
        """Return the JSON that a path answers to a GET, or to a POST of a body.

        Raises:
            AssertionError: it is an error; the message has it.
        """
        headers = {"Authorization": f"Basic {self._credentials}", "Content-Type": "application/json"}
        data = None if body is None else json.dumps(body).encode()
        try:
            with urlopen(Request(self._url + path, data, headers), timeout=60) as answer:
                return json.load(answer)
        except HTTPError as error:
            raise AssertionError(f"{path}: {error.code} {error.read().decode()[:500]}") from error


def check(api: Api) -> None:
    """Check everything.

    Raises:
        AssertionError: something is missing, ill, or answers with an error; the message lists what.
    """
    failed = [*_ill(api), *_missing(api), *_unanswered(api)]
    assert not failed, "\n".join(failed)


def _ill(api: Api) -> Iterator[str]:
    for uid, source in files.data_sources().items():
        if source["type"] == "alertmanager":  # has no check of its own
            api.ask(f"/api/alertmanager/{uid}/api/v2/status")
            continue
        health = api.ask(f"/api/datasources/uid/{uid}/health")
        if health["status"] != "OK":
            yield f"{uid}: {health}"


def _missing(api: Api) -> Iterator[str]:
    found = {each["uid"] for each in api.ask("/api/search?type=dash-db&limit=100")}
    yield from (f"{uid} is not there" for uid in sorted({board["uid"] for board in each_dashboard()} - found))


def _unanswered(api: Api) -> Iterator[str]:
    for target in targets():
        query = filled(target.query)
        results = api.ask("/api/ds/query", {**PERIOD, "queries": [query]})["results"]
        result = results[query["refId"]]
        if result.get("error") or result.get("status", 200) != 200:
            yield f"{target.name}: {result.get('error')}"


def filled(query: Json) -> Json:
    """Return a query as Grafana's page sends it, with values of variables; macros are the server's."""
    uids = {variable: uid for variable, (uid, _) in files.dashboard_sources().items()}
    text = VARIABLE.sub(
        lambda found: _value(found.group(0), found[1] or found[3] or found[4], uids), json.dumps(query)
    )
    filled: Json = json.loads(text)
    return {**filled, "intervalMs": 3_600_000, "maxDataPoints": 500}


def _value(whole: str, name: str, uids: dict[str, str]) -> str:
    if name in uids:
        return uids[name]
    if name not in VALUES:
        return whole
    return f"'{VALUES[name]}'" if "sqlstring" in whole else VALUES[name]
