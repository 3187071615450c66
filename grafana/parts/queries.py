"""Queries of panels, and the data sources that they are sent to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from grafana_foundation_sdk.builders import prometheus
from grafana_foundation_sdk.cog.builder import Builder
from grafana_foundation_sdk.cog.variants import Dataquery
from grafana_foundation_sdk.models.common import DataSourceRef
from grafana_foundation_sdk.models.prometheus import PromQueryFormat

from exporters.alert_rules.expression import Application
from exporters.assets.host_values import HostValue

from .names import check


@dataclass(frozen=True, slots=True)
class Source:
    """A kind of data source, of which each dashboard has a variable."""

    variable: str
    label: str
    plugin: str
    uid: HostValue
    """The uid that it has in Grafana: the default of the variable."""

    def ref(self) -> DataSourceRef:
        """Return the reference of a panel or a query."""
        return DataSourceRef(type_val=self.plugin, uid=f"${{{self.variable}}}")


SQL: Final = Source("ds_sql", "SQL", "grafana-postgresql-datasource", HostValue("postgresql_uid"))
PROMETHEUS: Final = Source("ds_prometheus", "Prometheus", "prometheus", HostValue("prometheus_uid"))
TRACES: Final = Source("ds_traces", "Traces", f"{HostValue('traces_type')}", HostValue("traces_uid"))
SOURCES: Final = (SQL, PROMETHEUS, TRACES)

APPLICATION: Final = Application("$job")
"""The metrics of the application that the variable ``job`` names."""


def firing(severity: str) -> str:
    """Return the series of alerts that are firing; ``severity`` is a pattern.

    These are the alerts about the chosen application, and those about the programs around it. The Prometheus
    may have alerts of others: only the names in our rules count.
    """
    state = f'alertstate="firing", severity=~"{severity}"'
    application = f'alertname=~"{HostValue("application_alerts")}", service="{APPLICATION.job}"'
    platform = f'alertname=~"{HostValue("platform_alerts")}", service=~"{HostValue("platform_services")}"'
    return f"(ALERTS{{{state}, {application}}} or ALERTS{{{state}, {platform}}})"


class _SqlQuery(Dataquery):
    """A query for PostgreSQL; the SDK has none."""

    def __init__(self, text: str, shape: str, ref_id: str) -> None:
        self.text, self.shape, self.ref_id = text, shape, ref_id

    def to_json(self) -> dict[str, object]:
        return {
            "datasource": SQL.ref(),
            "editorMode": "code",
            "format": self.shape,
            "rawQuery": True,
            "rawSql": self.text,
            "refId": self.ref_id,
        }


class Query(Builder[Dataquery]):
    """A query in SQL, which is checked when it is built."""

    source = SQL

    def __init__(self, text: str, shape: Literal["table", "time_series"] = "table") -> None:
        """Check the query.

        Raises:
            BadQuery: if it reads what does not exist.
        """
        text = text.strip()
        check(text)
        self._text, self._shape = text, shape

    def named(self, ref_id: str) -> Builder[Dataquery]:
        """Return the query as the one of a panel with this letter."""
        self._ref_id = ref_id
        return self

    def build(self) -> Dataquery:
        """Return the query as JSON has it."""
        return _SqlQuery(self._text, self._shape, self._ref_id)


class Metrics:
    """A query in PromQL."""

    source = PROMETHEUS

    def __init__(
        self, expression: str, legend: str = "", *, instant: bool = False, exemplars: bool = False
    ) -> None:
        """Take an expression, best of :data:`APPLICATION`, which knows the names of metrics.

        Args:
            expression: the PromQL.
            legend: the name of a series, such as ``{{stage}}``.
            instant: only the last value.
            exemplars: with links to traces.
        """
        query = prometheus.Dataquery().expr(expression).datasource(PROMETHEUS.ref()).exemplar(exemplars)
        query.legend_format(legend or "__auto")
        self._query = (query.instant() if instant else query.range()).format(
            PromQueryFormat.TABLE if instant else PromQueryFormat.TIME_SERIES
        )

    def named(self, ref_id: str) -> Builder[Dataquery]:
        """Return the query as the one of a panel with this letter."""
        return self._query.ref_id(ref_id)


AnyQuery = Query | Metrics
