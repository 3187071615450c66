"""Kinds of runs: those of an application's own, and what is none."""

from __future__ import annotations

import json
import logging
import re
import shutil
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from openai import OpenAI
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import telemetry
from exporters.reports.lines import SPENT_ON
from exporters.sql.schema import tables
from telemetry import conventions as c
from telemetry._internal.guard import internal_errors
from telemetry.api import arguments
from telemetry.cli.group import cli
from telemetry.openai import calls as attempts
from telemetry.settings import Settings, SettingsError
from telemetry.testing import recording
from tests.telemetry.recordings import Recorded, ask

api: Any = telemetry
"""As code without types calls it."""


@pytest.fixture(autouse=True)
def as_in_a_new_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arguments, "_logged", set())


class Process:
    """A process that records, with all that it says."""

    def __init__(self, path: Path, kinds: str) -> None:
        self.reader, self.spans = InMemoryMetricReader(), InMemorySpanExporter()
        self.meters = MeterProvider([self.reader], shutdown_on_exit=False)
        self.provider = TracerProvider(shutdown_on_exit=False)
        self.provider.add_span_processor(SimpleSpanProcessor(self.spans))
        given = {"TELEMETRY_DATABASE_URL": f"sqlite:///{path}", "TELEMETRY_RUN_KINDS": kinds}
        self.settings = Settings.load(
            given, {"TELEMETRY_SPOOL_DIR": path.parent / "spool"}, defaults=Settings(hmac_key="k")
        )
        self.path = path

    @contextmanager
    def at_work(self) -> Iterator[Recorded]:
        with recording(self.settings, self.provider, meter_provider=self.meters) as pipeline:
            attempts.instrument(self.provider)
            try:
                yield Recorded(pipeline, self.provider, self.path)
                assert pipeline.shutdown(10)
            finally:
                attempts.uninstrument()

    def labels(self, metric: c.Metric) -> dict[str, float]:
        """The kinds of a metric that counted something."""
        data = self.reader.get_metrics_data()
        assert data is not None
        found: dict[str, float] = {}
        for each in data.resource_metrics[0].scope_metrics[0].metrics:
            if each.name == metric.name:
                for point in each.data.data_points:
                    value = getattr(point, "value", None)
                    number = getattr(point, "count", 0) if value is None else value
                    found[str((point.attributes or {})["kind"])] = number + found.get(
                        str((point.attributes or {})["kind"]), 0
                    )
        return {kind: value for kind, value in found.items() if value}


@pytest.fixture
def process(migrated_sqlite: Path, tmp_path: Path) -> Callable[[str], Process]:
    path = tmp_path / "host.sqlite"
    shutil.copy(migrated_sqlite, path)
    return lambda kinds: Process(path, kinds)


def report(path: Path, *options: str) -> str:
    done = CliRunner().invoke(
        cli, ["report", *options], env={"TELEMETRY_DATABASE_URL": f"sqlite:///{path}", "COLUMNS": "120"}
    )
    assert done.exit_code == 0, done.output
    return done.output


def test_a_kind_of_the_application(process: Callable[[str], Process], client: OpenAI) -> None:
    """From the setting to the span, the row, the labels of metrics and the report."""
    host = process("chat, night_index")
    with host.at_work() as recorded:
        with telemetry.run("chat", user_id=7) as run:
            ask(client)
        carrier = run.carrier()
        with telemetry.resume(carrier):
            ask(client)
        with telemetry.run("night_index"):
            pass

    spans = [span for span in host.spans.get_finished_spans() if span.name in ("chat", "night_index")]
    kinds = [(span.attributes or {})[c.Attribute.RUN_KIND] for span in spans]
    assert kinds.count("night_index") == 1 and set(kinds) == {"chat", "night_index"}
    rows = {row["kind"]: row for row in recorded.rows(tables.runs)}
    assert rows.keys() == {"chat", "night_index"}
    assert (rows["chat"]["user_ref"], rows["chat"]["api_calls"]) == (7, 2)
    assert host.labels(c.RUNS) == {"chat": 1, "night_index": 1}
    assert host.labels(c.RUN_DURATION) == {"chat": 1, "night_index": 1}
    assert host.labels(c.RUNS_ACTIVE) == {}
    spend = {line["name"]: line for line in json.loads(report(host.path, "--json"))["spend"]}
    assert spend.keys() == {"chat", "night_index"}
    assert spend["chat"]["cost"]["pico"] == rows["chat"]["cost_pico"] > 0
    assert not spend["chat"]["wasted"]
    assert re.search(r"^chat +1 +\$0\.0", report(host.path), re.M)


def test_labels_of_added_kinds_are_at_zero_from_the_start(process: Callable[[str], Process]) -> None:
    """As those of all kinds: a rate needs what was before."""
    host = process("chat")
    with host.at_work() as recorded:
        totals = recorded.pipeline.metrics.totals.read(c.RUNS_ACTIVE)

    assert [(labels["kind"], value) for labels, value in totals] == [
        (kind, 0) for kind in (*c.MEASURED_KINDS, "chat")
    ]


@pytest.mark.internal_errors
def test_a_kind_that_is_none_is_recorded(
    process: Callable[[str], Process], client: OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    """As `other`: its user, its calls and what they cost are kept, and no label is new."""
    host = process("chat")
    with host.at_work() as recorded:
        for _ in range(2):
            with api.run("analisys", user_id=7) as run:
                ask(client)
    (record,) = caplog.records

    assert "'analisys' is not a kind of run, and is recorded as 'other'" in record.getMessage()
    assert "Kinds are analysis, intake, late, chat; TELEMETRY_RUN_KINDS adds more" in record.getMessage()
    assert internal_errors() == {"api": 2}
    rows = recorded.rows(tables.runs)
    assert [(row["kind"], row["user_ref"], row["api_calls"]) for row in rows] == [("other", 7, 1)] * 2
    assert run.run_id in {row["run_id"] for row in rows}
    assert host.labels(c.RUNS) == {"other": 2}
    (line,) = json.loads(report(host.path, "--json"))["spend"]
    assert (line["name"], line["runs"]) == ("other", 2) and line["cost"]["pico"] > 0
    assert "runs of no known kind" in report(host.path)


@pytest.mark.parametrize("kind", ["analisys", "orphan", "import", "Analysis", "", 5, None])
def test_a_kind_that_is_none_fails_a_test(recorded: Recorded, kind: object) -> None:
    """Where internal errors are raised, as with `telemetry.testing`, a misspelt kind is one."""
    with pytest.raises(ValueError, match="is not a kind of run"):
        api.start_run(kind)
    assert recorded.runs() == []


def test_a_kind_of_another_process(
    process: Callable[[str], Process], client: OpenAI, caplog: pytest.LogCaptureFixture
) -> None:
    """Who resumes a run of a kind that is unknown here adds to it, under no new label, and says so once."""
    with process("chat").at_work():
        run = telemetry.start_run("chat")
        carrier = run.carrier()
        run.detach()
    worker = process("")
    with worker.at_work() as recorded:
        for _ in range(2):
            with telemetry.resume(carrier) as joined:
                assert worker.labels(c.RUNS_ACTIVE) == {"other": 1}
                ask(client)
    (record,) = [record for record in caplog.records if record.levelno >= logging.WARNING]

    assert joined.run_id == run.run_id
    assert "'chat'" in record.getMessage() and "TELEMETRY_RUN_KINDS" in record.getMessage()
    (row,) = recorded.rows(tables.runs)
    assert (row["kind"], row["api_calls"]) == ("chat", 2)


@pytest.mark.parametrize("kind", ["orphan", "import", "running", "Ada Lovelace", "a" * 21, "", "x;y"])
def test_a_kind_that_no_process_begins(recorded: Recorded, kind: str) -> None:
    """A carrier that names one is none of ours."""
    with telemetry.resume({"run_id": "a" * 32, "kind": kind}) as joined:
        assert joined.run_id is None
    assert recorded.runs() == []


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("Chat", "'Chat'; a kind is snake_case, of at most 20 characters"),
        ("night index", "'night index'; a kind is snake_case"),
        ("a" * 21, "a kind is snake_case, of at most 20 characters"),
        ("1st", "'1st'; a kind is snake_case"),
        *(
            (kind, f"contains {kind!r}, which telemetry uses itself")
            for kind in (*c.KINDS, "running", "useful")
        ),
        (",".join(f"kind_{number}" for number in range(21)), "contains more than 20 kinds"),
    ],
)
def test_what_cannot_be_a_kind(value: str, said: str) -> None:
    """The line names the setting, from the environment and from the application's configuration alike."""
    with pytest.raises(SettingsError, match="^TELEMETRY_RUN_KINDS=") as caught:
        Settings.load({"TELEMETRY_RUN_KINDS": value})
    assert said in str(caught.value)
    with pytest.raises(SettingsError, match="^TELEMETRY_RUN_KINDS=") as caught:
        Settings.load({}, {"TELEMETRY_RUN_KINDS": value.split(",")})
    assert said in str(caught.value)


def test_lines_of_the_report_are_no_kinds() -> None:
    """Else two lines would have one name."""
    assert set(SPENT_ON) <= set(c.RESERVED_KINDS)


def test_without_a_recorder_any_kind_will_do(caplog: pytest.LogCaptureFixture) -> None:
    """Which kinds there are is a setting, and nobody has read it."""
    blocks: list[AbstractContextManager[Any]] = [api.run(kind) for kind in ("analisys", "chat", 5, None)]
    for block in blocks:
        with block as run:
            assert run.run_id is None

    assert not caplog.records
    assert internal_errors() == {}
