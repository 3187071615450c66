"""An error in any panel is found: names in each of them are misspelt in turn, in the whole matrix all."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterator

import pytest
import sqlglot
from sqlglot import exp

from exporters.catalogue.views import definitions
from exporters.sql.schema.tables import VIEWS
from grafana.parts.expansion import BadQuery, Moment, expand
from grafana.parts.names import VALUES, check
from tests.choice import sample
from tests.grafana.columns import LABEL, grouped
from tests.grafana.dashboards import ALL, Json, Target, each_dashboard, panels, sql_targets
from tests.grafana.faults import faults

KNOWN = {dashboard["uid"]: dashboard for dashboard in each_dashboard()}
Change = Callable[[Json], None]


def names(target: Target) -> set[str]:
    """Return the views, the columns of views and the closed values in a query, without names of its own."""
    text = expand(target.sql, Moment.last(7, ALL))
    query = sqlglot.parse_one(text, dialect="postgres")
    views = {table.name for table in query.find_all(exp.Table)} & set(VIEWS)
    columns = {name for view in views for name in definitions()[view].columns}
    own = {alias.alias for alias in query.find_all(exp.Alias)}
    found = {column.name for column in query.find_all(exp.Column)} & columns - own
    literals = {literal.name for literal in query.find_all(exp.Literal) if literal.is_string}
    return views | found | {f"'{each}'" for each in literals & set().union(*VALUES.values()) - {""}}


def mutants(target: Target) -> Iterator[tuple[str, str]]:
    """Yield names with the query in which each is misspelt everywhere: in the whole matrix, all of them."""
    found = [name for name in sorted(names(target)) if not is_label(name, target.sql)]
    for name in sample(found):
        wrong = f"{name[:-1]}x'" if name.endswith("'") else f"{name}x"
        pattern = re.escape(name) if name.endswith("'") else rf"(?<![\w:{{]){name}(?![\w:])"
        yield name, re.sub(pattern, wrong, target.sql)


@pytest.mark.parametrize("target", sql_targets(), ids=lambda target: target.name)
def test_each_misspelt_name_is_found(target: Target) -> None:
    """When the dashboard is built: before a reader sees an empty panel."""
    wrong = list(mutants(target))
    for name, text in wrong:
        with pytest.raises(BadQuery):
            check(text)
            pytest.fail(f"{target.name}: {name} may be misspelt", pytrace=False)
    assert wrong, target.name


def is_label(value: str, text: str) -> bool:
    """Return whether a text only is shown, or compared with what a reader has chosen."""
    if not value.endswith("'"):
        return False
    compared = re.findall(rf"(?:=|<>|IN \([^)]*){re.escape(value)}|(?:=|<>) {re.escape(value)}", text)
    in_list = re.findall(rf"IN \([^)$]*{re.escape(value)}", text)
    return not (compared or in_list) or bool(re.search(rf"\w+\.name = {re.escape(value)}", text))


@pytest.mark.parametrize("target", sql_targets(), ids=lambda target: target.name)
def test_each_misspelt_variable_and_macro_is_found(target: Target) -> None:
    """A variable that does not exist, one without quotes, a macro that does not exist."""
    for variable in set(re.findall(r"\$\{(\w+):sqlstring\}", target.sql)):
        for wrong in (f"${{{variable}x:sqlstring}}", f"${{{variable}}}", f"${variable}"):
            text = target.sql.replace(f"${{{variable}:sqlstring}}", wrong)
            with pytest.raises(BadQuery):
                expand(text, Moment.last(7, ALL))
    for macro in set(re.findall(r"\$(__\w+)\(", target.sql)):
        with pytest.raises(BadQuery):
            expand(target.sql.replace(f"${macro}(", f"${macro}x("), Moment.last(7, ALL))


@pytest.mark.parametrize("dashboard", each_dashboard(), ids=lambda dashboard: dashboard["uid"])
def test_nothing_is_wrong(dashboard: Json) -> None:
    """D25: each source, series, label, field, unit and link of a panel exists, and links lose no choice."""
    assert faults(dashboard, KNOWN) == []


def changes(panel: Json) -> Iterator[tuple[str, Change]]:
    """Yield every error that can be made in a panel, outside its SQL, with what it misspells."""
    yield "data source", lambda panel: panel["datasource"].update(uid="${ds_other}")
    yield "kind of data source", lambda panel: panel["datasource"].update(type="loki")
    yield "unit", lambda panel: panel["fieldConfig"]["defaults"].update(unit="secs")
    for place, target in enumerate(panel["targets"]):
        yield f"source of {place}", _in_target(place, "datasource", lambda source: {**source, "uid": "x"})
        for name in _in_expression(target.get("expr", "")):
            yield f"{name} in {place}", _in_target(place, "expr", _misspell(name))
        for label in LABEL.findall(target.get("legendFormat", "")):
            if grouped(target["expr"]):
                yield f"legend {label}", _in_target(place, "legendFormat", _misspell(label))
        for column in _named_columns(panel, target):
            yield f"column {column}", _in_target(place, "rawSql", _replace(f'"{column}"', f'"{column}x"'))
    for place, rule in enumerate(panel["fieldConfig"]["overrides"]):
        yield f"override {place}", _in_override(place)
        for number, each in enumerate(rule["properties"]):
            if each["id"] == "unit":
                yield f"unit of {place}", _in_property(place, number, "secs")
            if each["id"] == "links":
                for wrong in _wrong_links(each["value"]):
                    yield f"link of {place}", _in_property(place, number, wrong)
    for place, link in enumerate(panel.get("links", ())):
        for wrong in _wrong_links([link]):
            yield f"link {place}", _in_links(place, wrong[0])


def _in_expression(expression: str) -> set[str]:
    """Return the series and labels in a query in PromQL."""
    series = set(re.findall(r"([a-zA-Z_:][\w:]*)\{", expression)) | set(
        re.findall(r"\(([a-z_]+)\)", expression)
    )
    matched = {
        label for found in re.findall(r"\{([^}]*)\}", expression) for label in re.findall(r"(\w+)[=!]", found)
    }
    return series | matched | grouped(expression) - {""}


def _named_columns(panel: Json, target: Json) -> set[str]:
    """Return the columns of a query that an override, an axis or a transformation names."""
    text = str([panel["fieldConfig"]["overrides"], panel["options"], panel.get("transformations")])
    columns = re.findall(r'AS "([^"]+)"', target.get("rawSql", ""))
    return {column for column in columns if re.search(rf"'/?{re.escape(column)}(\.\*/)?'", text)}


def _wrong_links(links: list[Json]) -> Iterator[list[Json]]:
    for part in (r"^/d/[\w-]+", r"var-\w+", r"\w+:queryparam", r"__data\.fields\.\w+", r"ds_\w+"):
        wrong = [{**link, "url": re.sub(part, _wrong, link["url"])} for link in links]
        if wrong != links:
            yield wrong
    for lost in {
        name
        for link in links
        for name in re.findall(r"\$\{\w+:queryparam\}|\$\{__url_time_range\}", link["url"])
    }:
        yield [{**link, "url": link["url"].replace(lost, "")} for link in links]


def _wrong(found: re.Match[str]) -> str:
    return f"x{found[0]}" if found[0].endswith(":queryparam") else f"{found[0]}x"


def _misspell(name: str) -> Callable[[str], str]:
    return lambda text: re.sub(rf"(?<![\w:$]){name}(?![\w:])", f"{name}x", text)


def _replace(old: str, new: str) -> Callable[[str], str]:
    return lambda text: text.replace(old, new)


def _in_target(place: int, name: str, change: Callable[..., object]) -> Change:
    def apply(panel: Json) -> None:
        panel["targets"][place][name] = change(panel["targets"][place][name])

    return apply


def _in_override(place: int) -> Change:
    def apply(panel: Json) -> None:
        panel["fieldConfig"]["overrides"][place]["matcher"]["options"] = "No such field"

    return apply


def _in_property(place: int, number: int, value: object) -> Change:
    def apply(panel: Json) -> None:
        panel["fieldConfig"]["overrides"][place]["properties"][number]["value"] = value

    return apply


def _in_links(place: int, link: Json) -> Change:
    def apply(panel: Json) -> None:
        panel["links"][place] = link

    return apply


@pytest.mark.parametrize(
    ("uid", "panel"), list(panels()), ids=lambda each: each if isinstance(each, str) else each["title"]
)
def test_each_error_is_found(uid: str, panel: Json) -> None:
    """In data sources, series, labels, legends, columns, overrides, units, axes and links."""
    for what, change in sample(changes(panel)):
        wrong = copy.deepcopy(panel)
        change(wrong)
        assert wrong != panel, f"{what} was not changed"
        assert faults({**KNOWN[uid], "panels": [wrong]}, KNOWN), f"{what} may be wrong"
