"""What the stores of a stack know of the application: PostgreSQL, Prometheus and Jaeger."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Final
from urllib.error import HTTPError
from urllib.parse import urlencode
from urllib.request import urlopen

import psycopg

JOBS: Final = "SELECT run_id, trace_id FROM telemetry_jobs WHERE status <> 'running' ORDER BY started_at"
CALLS: Final = "SELECT COALESCE(SUM(api_calls), 0) FROM telemetry_runs WHERE status <> 'running'"
RUNNING: Final = "SELECT COUNT(*) FROM telemetry_runs WHERE status = 'running'"
COUNTED: Final = 'sum(last_over_time(analysis_openai_operations_total{job="screener"}[2h]))'


@dataclass(frozen=True)
class Stores:
    """The addresses of the three."""

    database: str
    """As its owner; a URL for libpq."""
    prometheus: str
    jaeger: str

    def jobs(self) -> dict[str, str]:
        """Return the traces of all jobs that have ended in the database, by run."""
        with psycopg.connect(self.database) as connection:
            return {str(run): str(trace) for run, trace in connection.execute(JOBS).fetchall()}

    def calls(self) -> tuple[int, float]:
        """Return the number of calls to OpenAI in the database and in Prometheus."""
        with psycopg.connect(self.database) as connection:
            (known,) = connection.execute(CALLS).fetchone() or (0,)
        return int(known), self.value(COUNTED)

    def is_at_rest(self) -> bool:
        """Return whether nothing is under way."""
        with psycopg.connect(self.database) as connection:
            return connection.execute(RUNNING).fetchone() == (0,)

    def value(self, expression: str) -> float:
        """Return the sum of an expression in Prometheus now."""
        found = self._get(f"{self.prometheus}/api/v1/query", query=expression)["result"]
        return sum(float(sample["value"][1]) for sample in found)

    def alerts(self) -> list[dict[str, Any]]:
        """Return the alert rules that Prometheus evaluates."""
        groups = self._get(f"{self.prometheus}/api/v1/rules", type="alert")["groups"]
        return [rule for group in groups for rule in group["rules"]]

    def operations(self, service: str) -> list[str]:
        """Return the names of the spans of a service in Jaeger."""
        found: list[str] = self._get(f"{self.jaeger}/api/services/{service}/operations") or []
        return found

    def spans(self, trace: str) -> int:
        """Return the number of spans that Jaeger has of a trace."""
        try:
            found = self._get(f"{self.jaeger}/api/traces/{trace}")
        except HTTPError as error:
            if error.code != 404:
                raise
            return 0
        return len(found[0]["spans"]) if found else 0

    def _get(self, url: str, **parameters: str) -> Any:
        with urlopen(f"{url}?{urlencode(parameters)}" if parameters else url, timeout=30) as answer:
            return json.load(answer)["data"]
