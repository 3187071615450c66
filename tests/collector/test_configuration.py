"""The layers of the Collector's configuration: accepted by it, and as the rules for them demand."""

from __future__ import annotations

import re
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import pytest

from exporters.alert_rules.alerts.collector import MOST_TRACES
from tests.collector.receiver import Receiver
from tests.collector.running import BASE, FOLDER, PATIENCE, SHIPPED, RunningCollector, ask, effective
from tests.waiting import until

EXAMPLES = {
    "examples/vendor-otlp.yaml": {"VENDOR_ENDPOINT": "https://otlp.example.com", "VENDOR_API_KEY": "key"},
    "examples/remote-write.yaml": {"REMOTE_WRITE_URL": "https://metrics.example.com/api/v1/write"},
}
SETTINGS = dict(chain.from_iterable(settings.items() for settings in EXAMPLES.values()))
HOURS_12 = 12 * 3600 * 10**9
"""In nanoseconds, as the Collector prints it."""
COMBINATIONS = [
    BASE,
    (*BASE, "prometheus.yaml"),
    (*BASE, "jaeger.yaml"),
    SHIPPED,
    *((*SHIPPED, example) for example in EXAMPLES),
    (*SHIPPED, *EXAMPLES),
]


@pytest.fixture(scope="module")
def whole() -> dict[str, Any]:
    """What the Collector makes of all layers, the examples included."""
    return effective(*SHIPPED, *EXAMPLES, **SETTINGS)


@pytest.mark.parametrize("layers", COMBINATIONS, ids=lambda layers: "+".join(layers[2:]) or "base")
def test_layers_are_accepted(layers: tuple[str, ...]) -> None:
    """Every combination of layers that the pages name is valid (C1)."""
    done = ask("validate", *layers, **SETTINGS)

    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("example", EXAMPLES)
def test_examples_need_an_address(example: str) -> None:
    """An example without its settings is refused, so that nothing is sent nowhere unnoticed."""
    assert ask("validate", *BASE, example).returncode != 0


def test_the_rule_knows_how_many_traces_it_holds(whole: dict[str, Any]) -> None:
    """The alert about too many is raised near the number in the configuration."""
    assert whole["processors"]["tail_sampling"]["num_traces"] * 0.99 == MOST_TRACES


def test_everything_defined_is_used(whole: dict[str, Any]) -> None:
    """No component is defined in vain, and the manifest of the Collector has no other (C1)."""
    used: dict[str, set[str]] = {
        kind: set() for kind in ("receivers", "processors", "exporters", "connectors", "extensions")
    }
    used["extensions"] = set(whole["service"]["extensions"])
    for pipeline in whole["service"]["pipelines"].values():
        for kind in ("receivers", "processors", "exporters"):
            used[kind] |= set(pipeline[kind])
    used["connectors"] = used["receivers"] & used["exporters"]
    for kind, names in used.items():
        assert set(whole[kind]) == (names - used["connectors"] if kind != "connectors" else names)

    listed = ask("components").stdout
    built = set(re.findall(r"^    - name: (\w+)$", listed.partition("providers:")[0], re.M))
    assert built == {name.partition("/")[0] for kind in used for name in whole[kind]}


def test_memory_limiter_comes_first(whole: dict[str, Any]) -> None:
    """Nothing is done with data that there is no memory for; the limits leave room below 100 % (C2)."""
    pipelines = whole["service"]["pipelines"].values()
    limits = whole["processors"]["memory_limiter"]

    assert {pipeline["processors"][0] for pipeline in pipelines} == {"memory_limiter"}
    assert 0 < limits["spike_limit_percentage"] < limits["limit_percentage"] < 90


def test_queues_are_on_disk_and_bounded(whole: dict[str, Any]) -> None:
    """Each exporter batches in its queue, keeps it on disk and gives up after a stated time (C3, C4)."""
    network = {name: one for name, one in whole["exporters"].items() if name != "nop"}

    assert len(network) == 4
    for name, exporter in network.items():
        assert exporter["retry_on_failure"]["max_elapsed_time"] == HOURS_12, name
        if name.startswith("prometheus_remote_write/"):
            assert exporter["wal"]["directory"], name  # its own kind of queue
            continue
        queue = exporter["sending_queue"]
        assert queue["storage"] == "file_storage/queues", name
        assert queue["queue_size"] == 256 * 2**20, name
        assert queue["batch"]["min_size"] <= queue["batch"]["max_size"], name
    assert "".join(_texts()).count("sizer: bytes") == 3  # the size of a queue is its size on disk
    assert not [name for name in whole["processors"] if name.startswith("batch")]
    assert "file_storage/queues" in whole["service"]["extensions"]
    assert whole["extensions"]["file_storage/queues"]["fsync"] is True, "or a loss of power damages them"


def test_only_this_machine_reaches_it() -> None:
    """Every port is bound to 127.0.0.1, unless one setting says otherwise (C5)."""
    assert _hosts(effective(*SHIPPED)) == ["127.0.0.1"] * 4
    assert _hosts(effective(*SHIPPED, COLLECTOR_HOST="0.0.0.0")) == ["0.0.0.0"] * 4


def _hosts(configuration: dict[str, Any]) -> list[str]:
    protocols = configuration["receivers"]["otlp"]["protocols"].values()
    endpoints = [protocol["endpoint"] for protocol in protocols]
    endpoints.append(configuration["extensions"]["health_check"]["endpoint"])
    readers = configuration["service"]["telemetry"]["metrics"]["readers"]
    return [
        *(endpoint.rpartition(":")[0] for endpoint in endpoints),
        *(reader["pull"]["exporter"]["prometheus"]["host"] for reader in readers),
    ]


def test_no_way_around_the_redaction(whole: dict[str, Any]) -> None:
    """Only the base's pipelines receive spans and logs, and those redact before they pass them on (C6)."""
    pipelines = whole["service"]["pipelines"]
    receiving = {name: one for name, one in pipelines.items() if "otlp" in one["receivers"]}

    assert set(receiving) == {"traces/received", "metrics/received", "logs/received"}
    for name in ("traces/received", "logs/received"):
        assert receiving[name]["processors"][1:] == ["redaction", "transform/text"]
    redaction = whole["processors"]["redaction"]
    assert redaction["allow_all_keys"] is False
    assert not redaction.get("ignored_keys") and not redaction.get("ignored_key_patterns")


def test_spans_are_measured_before_they_are_sampled(whole: dict[str, Any]) -> None:
    """Durations are in seconds, with exemplars, by a few labels that have few values (C8)."""
    pipelines, measured = whole["service"]["pipelines"], whole["connectors"]["span_metrics"]

    assert "span_metrics" in pipelines["traces/received"]["exporters"]
    assert "tail_sampling" not in pipelines["traces/received"]["processors"]
    assert measured["histogram"]["unit"] == "s" and measured["exemplars"]["enabled"]
    dimensions = {dimension["name"] for dimension in measured["dimensions"]}
    assert dimensions == {"analysis.stage", "gen_ai.operation.name", "http.route", "error.type"}
    assert dimensions <= set(whole["processors"]["redaction"]["allowed_keys"])


def test_metrics_go_one_way_to_prometheus(whole: dict[str, Any]) -> None:
    """They are pushed to its receiver of OTLP, whose address gets its suffix from the exporter (C9)."""
    takers = [name for name, one in whole["exporters"].items() if "127.0.0.1:9090" in str(one)]

    assert takers == ["otlp_http/prometheus"]
    assert whole["exporters"]["otlp_http/prometheus"]["endpoint"] == "http://127.0.0.1:9090/api/v1/otlp"
    assert not [name for name in whole["exporters"] if name.startswith("prometheus/")]


def test_it_starts_and_shows_its_state(tmp_path: Path) -> None:
    """It starts without a warning, answers the health check and offers its own metrics (C7, C10, C11)."""
    with Receiver() as vendor:
        settings = SETTINGS | {"VENDOR_ENDPOINT": vendor.url}
        with RunningCollector(tmp_path, *SHIPPED, *EXAMPLES, **settings) as collector:
            until(
                lambda: "otelcol_process_uptime_seconds_total" in collector.metrics(),
                PATIENCE,
                what="its own metrics",
            )
            own = collector.metrics()
    log = collector.log()

    assert not re.search(r"deprecat|\balias\b", log, re.IGNORECASE), log
    assert "otelcol_exporter_queue_capacity{" in own
    assert "debug" not in "".join(_texts())


def _texts() -> Iterator[str]:
    return (file.read_text() for file in sorted(FOLDER.rglob("*.yaml")))
