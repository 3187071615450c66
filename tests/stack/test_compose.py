"""docker-compose.yml, as the rules for it demand (K1 to K12)."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from typing import Any, Final

import jsonschema_rs
import pytest

from tests.stack import files as stack
from tests.tools import program
from tools.compose import prometheus
from tools.programs import BUILDS

SCHEMA: Final = json.loads((stack.ROOT / "tests" / "stack" / "compose-spec.json").read_text())
ONCE: Final = {"migrate", "folders", "history"}
"""Services that end when they are done."""
LISTENS: Final = {
    ("app", 8000),
    ("standin", 8080),
    ("postgres", 5432),
    *(("collector", port) for port in (4318, 13133, 8888)),
    ("prometheus", 9090),
    ("alertmanager", 9093),
    *(("jaeger", port) for port in (4317, 16686)),
    ("grafana", 3000),
}
"""Services and the ports on which they listen for others."""
TOTAL: Final = 2048
"""MiB of all services together that keep running."""


def services() -> list[tuple[str, dict[str, Any]]]:
    return sorted(stack.services().items())


each_service = pytest.mark.parametrize(
    ("name", "service"), services(), ids=lambda value: value if isinstance(value, str) else ""
)


def test_it_is_a_compose_file() -> None:
    """K1: by the schema of the Compose specification, and without the key that is obsolete."""
    jsonschema_rs.validate(SCHEMA, stack.compose())

    assert "version" not in stack.compose()


@each_service
def test_images_are_pinned(name: str, service: dict[str, Any]) -> None:
    """K2: by a tag of three numbers, or as many as there are, never `latest` and never a range."""
    tag = service["image"].split("@")[0].rpartition(":")[2]

    assert re.fullmatch(r"v?\d+\.\d+(\.\d+)?(-[\w.]+)?", tag), service["image"]
    if not service["image"].startswith("postgres:"):  # has two numbers a release
        assert tag.count(".") >= 2


def test_images_are_those_that_the_tests_run() -> None:
    """K2: of the programs that `make tools` builds, and of Grafana's types."""
    built = {build.name: build.version for build in BUILDS}
    package = json.loads((stack.ROOT / "tools" / "dashboard_types" / "package.json").read_text())
    built["grafana"] = package["devDependencies"]["@grafana/schema"]
    tags = {name: stack.services()[name]["image"].rpartition(":")[2].lstrip("v") for name in built}

    assert tags == built


def test_somebody_keeps_the_images_current() -> None:
    """K2: a bot proposes newer tags, with digests; it reads the defaults in the compose file."""
    settings = json.loads((stack.ROOT / "renovate.json").read_text())

    assert set(settings["enabledManagers"]) == {"docker-compose", "dockerfile"}
    assert "docker:pinDigests" in settings["extends"]
    (default,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", (stack.ROOT / "Dockerfile").read_text(), re.M)
    assert default == stack.documented()["PYTHON_IMAGE"]


@each_service
def test_services_are_limited_and_watched(name: str, service: dict[str, Any]) -> None:
    """K3: in memory and logs; they have a check of their health, and wait for what they need."""
    assert service["restart"] == ("no" if name in ONCE else "unless-stopped")
    assert _mebibytes(service["deploy"]["resources"]["limits"]["memory"]) > 0
    assert set(service["logging"]["options"]) == {"max-size", "max-file"}
    assert ("healthcheck" in service) == (name not in ONCE and name not in stack.SCRATCH)
    needed = service.get("depends_on", {})
    assert set(needed) <= set(stack.services())
    for other, how in needed.items():
        expected = (
            "service_completed_successfully"
            if other in ONCE
            else "service_started"
            if other in stack.SCRATCH
            else "service_healthy"
        )
        assert how["condition"] == expected, (name, other)
        assert "profiles" not in stack.services()[other] or "profiles" in service or not how["required"]


@each_service
def test_services_may_do_little(name: str, service: dict[str, Any]) -> None:
    """No capability but the one that is needed, no new ones, and nothing to write but volumes and /tmp."""
    assert service["cap_drop"] == ["ALL"]
    assert service.get("cap_add", []) == (["CHOWN"] if name == "folders" else [])
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service.get("user") == {"folders": "0:0", "postgres": "postgres"}.get(name)


def test_everything_fits_into_two_gibibytes() -> None:
    """The limits of all services that keep running, those of the demo included."""
    limits = {
        name: _mebibytes(service["deploy"]["resources"]["limits"]["memory"])
        for name, service in services()
        if name not in ONCE
    }

    assert sum(limits.values()) <= TOTAL, limits


def test_memory_of_go_programs_ends_below_the_limit() -> None:
    """C2: their garbage collectors know of it, and the Collector refuses data before that."""
    given = {
        name: stack.environment(name)["GOMEMLIMIT"]
        for name in ("collector", "prometheus", "alertmanager", "jaeger")
    }
    for name, limit in given.items():
        whole = _mebibytes(stack.services()[name]["deploy"]["resources"]["limits"]["memory"])
        assert 0.45 * whole <= _mebibytes(limit.replace("iB", "")) <= 0.85 * whole, name


def test_mounts_are_there_and_read_only() -> None:
    """K4: data are in named volumes, each of which is used."""
    used: set[str] = set()
    for _, service in services():
        for mount in service.get("volumes", []):
            source, _, rest = mount.partition(":")
            if source.startswith("."):
                assert (stack.ROOT / source).exists(), mount
                assert rest.endswith(":ro"), mount
            else:
                used.add(source)

    assert used == set(stack.compose()["volumes"])


def test_no_secret_has_a_default() -> None:
    """K5: whoever sets none is told so; `.env.example` has every setting, and the same defaults."""
    found = stack.VARIABLE.findall(stack.TEXT)
    secret = {name for name, _, _ in found if re.search(r"PASSWORD|SECRET|_KEY$", name)}
    known = stack.documented()

    assert {name for name, _, _ in found} == set(known) - {"COMPOSE_PROFILES"}
    assert len(secret) == 7
    for name, kind, value in found:
        if name in secret:
            assert kind == "?", name
        elif name != "OPENAI_BASE_URL":
            assert (kind, value) == ("-", known[name]), name
    assert {name for name in secret if known[name]} == {"OPENAI_API_KEY"}  # the stand-in takes any
    assert known["OPENAI_API_KEY"] == "stand-in"


def test_no_literal_secret() -> None:
    """K5: nor is there one in what Grafana, Prometheus and Alertmanager read."""
    for name, service in services():
        for variable, value in service.get("environment", {}).items():
            if re.search(r"PASSWORD$|SECRET_KEY$", variable):
                assert value == "secret", (name, variable)


def test_ports_are_those_of_this_machine() -> None:
    """K6, C5: nothing is published beyond it; Grafana shows nothing to strangers, and lets nobody in."""
    published = [port for _, service in services() for port in service.get("ports", [])]
    given = stack.environment("grafana")

    assert len(published) == len(set(published)) == 8
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert given["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert given["GF_AUTH_ANONYMOUS_ORG_ROLE"] == given["GF_USERS_AUTO_ASSIGN_ORG_ROLE"] == "Viewer"
    assert given["GF_USERS_ALLOW_SIGN_UP"] == "false"


def test_prometheus_runs_as_the_page_says() -> None:
    """K7: it receives OTLP, keeps exemplars, and metrics for longer than any rule looks back."""
    command = stack.services()["prometheus"]["command"]
    kept = stack.load(prometheus.FILE)["storage"]["tsdb"]["retention"]

    assert {"--web.enable-otlp-receiver", "--enable-feature=exemplar-storage"} <= set(command)
    assert int(kept["time"].removesuffix("d")) >= 33 and kept["size"]
    assert not [flag for flag in command if "retention" in flag]


def test_intervals_agree() -> None:
    """K8: what is exported, what is scraped and what Grafana asks for."""
    exported = int(stack.environment("app")["OTEL_METRIC_EXPORT_INTERVAL"]) // 1000
    scraped = stack.load(prometheus.FILE)["global"]["scrape_interval"]

    assert (
        f"{exported}s" == scraped == stack.data_sources()["analysis-prometheus"]["jsonData"]["timeInterval"]
    )


def test_names_in_prometheus() -> None:
    """K9: what becomes of names and attributes is said, and late data are taken."""
    parsed = stack.load(prometheus.FILE)
    received = parsed["otlp"]

    assert received["translation_strategy"] == "UnderscoreEscapingWithSuffixes"
    assert received["keep_identifying_resource_attributes"] is True
    wanted = {"service.name", "service.version", "deployment.environment.name"}
    assert wanted <= set(received["promote_resource_attributes"])
    assert parsed["storage"]["tsdb"]["out_of_order_time_window"] == "12h"


def test_addresses_are_those_of_services() -> None:
    """K10: every one that a configuration or an environment names is where a service listens."""
    named = set(_addresses())

    assert len(named) >= 9
    assert named <= LISTENS
    published = {
        (name, int(port.rpartition(":")[2]))
        for name, service in services()
        for port in service.get("ports", [])
    }
    assert published <= LISTENS


def test_alerts_reach_alertmanager() -> None:
    """K11: Prometheus knows it, and the rules are where its configuration looks for them."""
    parsed = stack.load(prometheus.FILE)
    ((target,),) = [one["targets"] for one in parsed["alerting"]["alertmanagers"][0]["static_configs"]]
    mounts = dict(mount.split(":")[:2] for mount in stack.services()["prometheus"]["volumes"])
    inside = {target: source for source, target in mounts.items()}

    assert target == "alertmanager:9093"
    assert parsed["rule_files"] == ["rules/*.yml"]
    assert sorted((stack.ROOT / inside["/etc/prometheus/rules"]).glob("*.yml"))
    assert (stack.ROOT / inside["/etc/prometheus/prometheus.yml"]).samefile(prometheus.FILE)


@pytest.mark.parametrize("name", ["app", "worker", "daily-check"])
def test_the_application_exports_as_it_should(name: str) -> None:
    """K12: cumulative, under one name; each process has an id of its own if nobody gives one."""
    given = stack.environment(name)

    assert given["OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"] == "cumulative"
    assert given["OTEL_SERVICE_NAME"] == "screener"
    assert "service.instance.id" not in given["OTEL_RESOURCE_ATTRIBUTES"]


def test_the_copy_differs_in_addresses_only() -> None:
    """What Prometheus reads there is what operators get: `make docs` writes the copy."""
    assert prometheus.FILE.read_text() == prometheus.page()
    ours = prometheus.SOURCE.read_text().splitlines()
    copied = prometheus.page().splitlines()[1:]
    different = [(old, new) for old, new in zip(ours, copied, strict=True) if old != new]
    assert len(different) == 3
    for old, new in different:
        addressed = old.replace("127.0.0.1:9093", "alertmanager:9093").replace(
            "127.0.0.1:8888", "collector:8888"
        )
        assert addressed == new


def test_the_copy_is_accepted() -> None:
    """By the program for that, with its rules."""
    command = [
        str(program("promtool")),
        "check",
        "config",
        "--lint=all",
        "--lint-fatal",
        str(prometheus.FILE),
    ]
    done = subprocess.run(command, capture_output=True, text=True, check=False)

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("SUCCESS") >= 2


def _addresses() -> Iterator[tuple[str, int]]:
    """Yield host and port of every address that is not this machine's."""
    texts = [prometheus.FILE.read_text()]
    texts += [value for _, service in services() for value in service.get("environment", {}).values()]
    texts += [word for _, service in services() for word in service.get("command", [])]
    for text in texts:
        for host, port in re.findall(r"(?<![\w.])([a-z][a-z-]+):(\d{4,5})\b", str(text)):
            yield host, int(port)


def _mebibytes(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(M|Mi|G|Gi)", text).groups()  # type: ignore[union-attr]
    return int(number) * (1024 if unit.startswith("G") else 1)
