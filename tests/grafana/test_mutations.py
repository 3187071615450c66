"""An error in any query is found: each name in each of them is misspelt in turn."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
import sqlglot
from sqlglot import exp

from exporters.catalogue.views import definitions
from exporters.sql.schema.tables import VIEWS
from grafana.parts.expansion import BadQuery, Moment, expand
from grafana.parts.names import VALUES, check
from tests.grafana.dashboards import Target, sql_targets

CHOSEN = {"segment": "all", "batch_size": "all", "user": "all", "model": "all", "analysis": "7"}


def names(target: Target) -> set[str]:
    """Return the views, the columns of views and the closed values in a query, without names of its own."""
    text = expand(target.sql, Moment.last(7, CHOSEN))
    query = sqlglot.parse_one(text, dialect="postgres")
    views = {table.name for table in query.find_all(exp.Table)} & set(VIEWS)
    columns = {name for view in views for name in definitions()[view].columns}
    own = {alias.alias for alias in query.find_all(exp.Alias)}
    found = {column.name for column in query.find_all(exp.Column)} & columns - own
    literals = {literal.name for literal in query.find_all(exp.Literal) if literal.is_string}
    return views | found | {f"'{each}'" for each in literals & set().union(*VALUES.values()) - {""}}


def mutants(target: Target) -> Iterator[tuple[str, str]]:
    """Yield each name with the query in which it is misspelt everywhere."""
    for name in names(target):
        wrong = f"{name[:-1]}x'" if name.endswith("'") else f"{name}x"
        pattern = re.escape(name) if name.endswith("'") else rf"(?<![\w:{{]){name}(?![\w:])"
        yield name, re.sub(pattern, wrong, target.sql)


@pytest.mark.parametrize("target", sql_targets(), ids=lambda target: target.name)
def test_each_misspelt_name_is_found(target: Target) -> None:
    """When the dashboard is built: before a reader sees an empty panel."""
    tried = 0
    for name, text in mutants(target):
        if is_label(name, target.sql):
            continue
        tried += 1
        with pytest.raises(BadQuery):
            check(text)
            pytest.fail(f"{target.name}: {name} may be misspelt", pytrace=False)
    assert tried > 1, target.name


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
                expand(text, Moment.last(7, CHOSEN))
    for macro in set(re.findall(r"\$(__\w+)\(", target.sql)):
        with pytest.raises(BadQuery):
            expand(target.sql.replace(f"${macro}(", f"${macro}x("), Moment.last(7, CHOSEN))
