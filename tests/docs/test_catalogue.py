"""The catalogue says what is there: metrics as Prometheus shows them, columns as a database has them."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import sqlalchemy as sa
from click.testing import CliRunner, Result
from opentelemetry.sdk.metrics import MeterProvider
from prometheus_client.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from exporters.catalogue.page import catalogue, type_name
from exporters.catalogue.usage import names
from exporters.metrics.instruments import Metrics
from exporters.metrics.listener import Listener
from exporters.sql.schema import migrate
from exporters.sql.schema.tables import HOST_COLUMNS
from telemetry import conventions as c
from telemetry.cli.group import cli
from telemetry.settings import Settings
from tests.postgres import TemporaryPostgres

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "reference" / "catalogue.md"
BASE_TABLES = {"analyses", "candidate_files", "users"}


def run(*arguments: str) -> Result:
    return CliRunner().invoke(cli, ["catalogue", *arguments])


@pytest.fixture(scope="module")
def page() -> str:
    return catalogue()


@pytest.fixture(scope="module")
def samples() -> Iterator[list[Sample]]:
    """What Prometheus gets of a process in which a little of everything has been measured."""
    settings = Settings(metrics_port=0)
    metrics, listener, provider = Metrics(settings), Listener(settings, lambda _: None), MeterProvider()
    listener.register(provider)
    metrics.register(provider)
    for metric in c.METRICS:
        labels = {name: (metric.label(name).values or ("some",))[0] for name in metric.labels}
        if metric.instrument == "histogram":
            metrics.observe(metric, 1, None, **labels)
        elif metric.labels:
            metrics.totals.add(metric, 1, **labels)
        else:
            metrics.gauge(metric, lambda: 1.0)
    listener.start()
    with urllib.request.urlopen(f"http://127.0.0.1:{listener.port}/metrics") as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    found = [sample for family in families for sample in family.samples]
    yield [sample for sample in found if sample.name != "target_info"]
    listener.stop()
    provider.shutdown()


def section(page: str, name: str) -> dict[str, str]:
    """Columns of a table or view with their types, as the page has them."""
    (found,) = re.findall(rf"^### `{name}`\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", found, re.MULTILINE))


def test_the_page_is_the_one_of_the_code() -> None:
    """What stands in the repository is what the command writes (`make docs` writes it)."""
    found = run("--check")

    assert found.exit_code == 0, found.output


def test_a_page_that_is_out_of_date(tmp_path: Path) -> None:
    """It is named, with the command that brings it up to date; that one then does."""
    place = tmp_path / "page.md"
    missing = run("--check", "--output", str(place))
    place.write_text("# Metrics")
    stale = run("--check", "--output", str(place))

    repair = f"run flask telemetry catalogue --output {place}\n"
    assert (missing.exit_code, missing.output) == (1, f"Error: {place} is missing: {repair}")
    assert (stale.exit_code, stale.output) == (1, f"Error: {place} is out of date: {repair}")
    assert run("--output", str(place)).exit_code == 0
    assert run("--check", "--output", str(place)).output == f"{place} is up to date.\n"
    assert place.read_text() == PAGE.read_text()


def test_every_metric_has_the_name_that_prometheus_shows(page: str, samples: list[Sample]) -> None:
    """And its own name, with nothing left out on either side."""
    told = dict(re.findall(r"^\| `([\w.]+)`<br>`(\w+)` \|", page, re.MULTILINE))
    families = {re.sub("_(bucket|sum|count)$", "", sample.name) for sample in samples}

    assert told.keys() == {metric.name for metric in c.METRICS}
    assert set(told.values()) == families


def test_every_name_in_prometheus_belongs_to_one_metric(samples: list[Sample]) -> None:
    """So that a query can be told to use it."""
    for name in {sample.name for sample in samples}:
        assert len([metric for metric in c.METRICS if name in names(metric)]) == 1, name


def test_closed_labels_have_the_values_they_are_said_to_have(samples: list[Sample]) -> None:
    """What is there from the start, at zero, is among what the page lists."""
    metrics = {name: metric for metric in c.METRICS for name in names(metric)}
    for sample in samples:
        for name in sample.labels.keys() - {"le"}:
            label = metrics[sample.name].label(name)
            assert label.is_open or sample.labels[name] in label.values, (sample.name, name)


def test_a_label_without_a_meaning() -> None:
    """Whoever adds one is told where to say what it means."""
    metric = c.Metric("analysis.new", "counter", "{thing}", "Things.", ("colour",))

    with pytest.raises(LookupError, match="colour of analysis.new has no entry in LABELS"):
        metric.label("colour")


def test_every_column_has_the_type_it_has_in_postgresql(page: str, postgres: TemporaryPostgres) -> None:
    """Tables, views and what is added to the host's tables, with nothing left out on either side."""
    url = postgres.create_database()
    migrate.upgrade(url, with_base_tables=True)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    inspector = sa.inspect(engine)
    for name in {*inspector.get_table_names(), *inspector.get_view_names()} - {migrate.VERSION_TABLE}:
        there = {each["name"]: type_name(each["type"]) for each in inspector.get_columns(name)}
        if name in BASE_TABLES:
            there = {column.name: there[column.name] for column in HOST_COLUMNS[name]}
        assert section(page, name) == there, name


def test_everything_says_what_it_means(page: str) -> None:
    """No row ends in an empty cell."""
    assert re.findall(r"^\|.*\| \|$", page, re.MULTILINE) == []
