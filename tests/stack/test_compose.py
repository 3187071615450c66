"""docker-compose.yml, as the rules for it demand (K1 to K6, K10)."""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Iterator
from fnmatch import fnmatch
from typing import Any, Final

import jsonschema_rs
import pytest

from tests.stack import files as stack
from tools.compose import prometheus
from tools.programs import BUILDS

DOCKERFILE: Final = (stack.ROOT / "Dockerfile").read_text()
SCHEMA: Final = json.loads((stack.ROOT / "tests" / "stack" / "compose-spec.json").read_text())
ONCE: Final = {"migrate", "assets", "history"}
"""Services that end when they are done."""
LISTENS: Final = {
    ("app", 8000),
    ("standin", 8080),
    ("postgres", 5432),
    ("postgres-exporter", 9187),
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


def test_the_image_has_what_the_wheel_needs() -> None:
    """Every file and folder that is put into the wheel is copied, and reaches the engine."""
    project = tomllib.loads((stack.ROOT / "pyproject.toml").read_text())
    wheel = project["tool"]["hatch"]["build"]["targets"]["wheel"]
    copied = {word for line in re.findall(r"^COPY (.+) \S+$", DOCKERFILE, re.M) for word in line.split()}
    sent = re.findall(r"^!(\S+)$", (stack.ROOT / ".dockerignore").read_text(), re.M)

    for needed in (*wheel["packages"], *wheel["force-include"]):
        assert any(needed == part or needed.startswith(f"{part}/") for part in copied), needed
    for part in copied:
        assert part.startswith(("/", "--")) or any(
            fnmatch(part, each) or part.startswith(f"{each}/") for each in sent
        ), part


def test_somebody_keeps_the_images_current() -> None:
    """K2: a bot proposes newer tags, with digests; it reads the defaults in the compose file."""
    settings = json.loads((stack.ROOT / "renovate.json").read_text())

    assert set(settings["enabledManagers"]) == {"docker-compose", "dockerfile"}
    assert "docker:pinDigests" in settings["extends"]
    (default,) = re.findall(r"^ARG PYTHON_IMAGE=(\S+)$", DOCKERFILE, re.M)
    assert default == stack.documented()["PYTHON_IMAGE"]


def test_no_major_version_of_postgresql_begins_anew() -> None:
    """The bot proposes none, and one that is set by hand finds the data, which it then refuses to read."""
    settings = json.loads((stack.ROOT / "renovate.json").read_text())
    (rule,) = [one for one in settings["packageRules"] if one["matchPackageNames"] == ["postgres"]]
    postgres = stack.services()["postgres"]
    major = postgres["image"].rpartition(":")[2].partition(".")[0]

    assert (rule["matchUpdateTypes"], rule["enabled"]) == (["major"], False)
    assert postgres["environment"]["PGDATA"] == f"/var/lib/postgresql/{major}/docker"


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
    """No capability, no root, and nothing to write but volumes and /tmp; the user is that of the image."""
    assert service["cap_drop"] == ["ALL"] and "cap_add" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["read_only"] is True
    assert service.get("user") == {"postgres": "postgres"}.get(name)


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
        for name in ("collector", "prometheus", "alertmanager", "jaeger", "postgres-exporter")
    }
    for name, limit in given.items():
        whole = whole_of(name)
        assert 0.45 * whole <= _mebibytes(limit.replace("iB", "")) <= 0.85 * whole, name


def test_memory_of_the_collector_is_as_the_page_says() -> None:
    """C2: by one formula there and here; here it holds no trace, which is why it needs less."""
    page = (stack.ROOT / "docs" / "how-to" / "collector.md").read_text()
    given = stack.environment("collector")
    whole, percent, limit = whole_of("collector"), given["COLLECTOR_MEMORY_PERCENT"], given["GOMEMLIMIT"]
    default = re.findall(r"^\| `COLLECTOR_MEMORY_PERCENT` \| `(\d+)` \|", page, re.MULTILINE)

    assert f"{whole} MB, a percentage of {percent} and {limit} do" in page
    assert limit == f"{whole * int(percent) * 8 // 1000}MiB"
    assert given["COLLECTOR_OTHERS_PERCENT"] == "100"
    assert "Give a container 512 MB,\n  and set `GOMEMLIMIT` to 80 %" in page
    assert f"{512 * int(default[0]) * 8 // 1000}MiB. Where" in page


def whole_of(name: str) -> int:
    """Return the limit of the memory of a service, in MiB."""
    return _mebibytes(stack.services()[name]["deploy"]["resources"]["limits"]["memory"])


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


def test_ports_are_those_of_this_machine() -> None:
    """K6, C5: nothing is published beyond it; Grafana shows nothing to strangers, and lets nobody in."""
    published = [port for _, service in services() for port in service.get("ports", [])]
    given = stack.environment("grafana")

    assert len(published) == len(set(published)) == 8
    assert all(port.startswith("127.0.0.1:") for port in published)
    assert given["GF_AUTH_ANONYMOUS_ENABLED"] == "false"
    assert given["GF_AUTH_ANONYMOUS_ORG_ROLE"] == given["GF_USERS_AUTO_ASSIGN_ORG_ROLE"] == "Viewer"
    assert given["GF_USERS_ALLOW_SIGN_UP"] == "false"


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


def _addresses() -> Iterator[tuple[str, int]]:
    """Yield host and port of every address that is not this machine's."""
    texts = [file.read_text() for file in (prometheus.FILE, stack.ROOT / "prometheus" / "postgres.yml")]
    texts += [value for _, service in services() for value in service.get("environment", {}).values()]
    texts += [word for _, service in services() for word in service.get("command", [])]
    for text in texts:
        for host, port in re.findall(r"(?<![\w.])([a-z][a-z-]+):(\d{4,5})\b", str(text)):
            yield host, int(port)


def _mebibytes(text: str) -> int:
    number, unit = re.fullmatch(r"(\d+)(M|Mi|G|Gi)", text).groups()  # type: ignore[union-attr]
    return int(number) * (1024 if unit.startswith("G") else 1)
