"""The catalogue is correct: metrics as Prometheus shows them, and columns as the database has them."""

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
from exporters.metrics.listener import Listener
from exporters.sql.schema import migrate
from exporters.sql.schema.tables import HOST_COLUMNS
from telemetry import conventions as c
from telemetry.cli.group import cli
from telemetry.settings import Settings
from tests.every_metric import give_values
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
    """The samples that Prometheus scrapes from a process in which every metric has a value."""
    listener, provider = Listener(Settings(metrics_port=0), lambda _: None), MeterProvider()
    listener.register(provider)
    give_values(provider)
    listener.start()
    with urllib.request.urlopen(f"http://127.0.0.1:{listener.port}/metrics") as answer:
        families = list(text_string_to_metric_families(answer.read().decode()))
    scraped = [sample for family in families for sample in family.samples]
    yield [sample for sample in scraped if sample.name != "target_info"]
    listener.stop()
    provider.shutdown()


def section(page: str, name: str) -> dict[str, str]:
    """Return the columns of a table or view with their types, as the page lists them."""
    (text,) = re.findall(rf"^### `{name}`\n(.*?)(?=^##|\Z)", page, re.MULTILINE | re.DOTALL)
    return dict(re.findall(r"^\| `(\w+)` \| ([^|]+) \|", text, re.MULTILINE))


def test_page_is_up_to_date() -> None:
    """The committed page is what the command writes (`make docs` calls it)."""
    checked = run("--check")

    assert checked.exit_code == 0, checked.output


def test_check_reports_a_page_that_is_out_of_date(tmp_path: Path) -> None:
    """The message has the command that updates the page, which then does so."""
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


def test_every_metric_has_the_name_in_prometheus(page: str, samples: list[Sample]) -> None:
    """The page has all metrics and all families that are scraped, and no others."""
    listed = dict(re.findall(r"^\| `([\w.]+)`<br>`(\w+)` \|", page, re.MULTILINE))
    families = {re.sub("_(bucket|sum|count)$", "", sample.name) for sample in samples}

    assert listed.keys() == {metric.name for metric in c.METRICS}
    assert set(listed.values()) == families


def test_every_name_in_prometheus_belongs_to_one_metric(samples: list[Sample]) -> None:
    """The search for unused metrics depends on it."""
    for name in {sample.name for sample in samples}:
        assert len([metric for metric in c.METRICS if name in names(metric)]) == 1, name


def test_closed_labels_have_only_listed_values(samples: list[Sample]) -> None:
    """All time series that exist from the start have label values that are declared."""
    metrics = {name: metric for metric in c.METRICS for name in names(metric)}
    for sample in samples:
        for name in sample.labels.keys() - {"le"}:
            label = metrics[sample.name].label(name)
            assert label.is_open or sample.labels[name] in label.values, (sample.name, name)


def test_label_without_a_meaning_is_refused() -> None:
    """The error names the table in which to describe it."""
    metric = c.Metric("analysis.new", "counter", "{thing}", "Things.", ("colour",))

    with pytest.raises(LookupError, match="colour of analysis.new has no entry in LABELS"):
        metric.label("colour")


def test_every_column_has_its_type_in_postgresql(page: str, postgres: TemporaryPostgres) -> None:
    """The page has exactly the columns of our tables and views, and those added to the host's tables."""
    url = postgres.create_database()
    migrate.upgrade(url, with_base_tables=True)
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    inspector = sa.inspect(engine)
    for name in {*inspector.get_table_names(), *inspector.get_view_names()} - {migrate.VERSION_TABLE}:
        actual = {column["name"]: type_name(column["type"]) for column in inspector.get_columns(name)}
        if name in BASE_TABLES:
            actual = {column.name: actual[column.name] for column in HOST_COLUMNS[name]}
        assert section(page, name) == actual, name


def test_everything_has_a_meaning(page: str) -> None:
    """No row of a table ends in an empty cell."""
    assert re.findall(r"^\|.*\| \|$", page, re.MULTILINE) == []
