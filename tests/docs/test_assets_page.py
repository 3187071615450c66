"""The page on assets: its commands do what it says, and its examples fit what is written."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]

from exporters.assets import kubernetes
from exporters.assets.comparison import State
from exporters.assets.contents import contents
from grafana.parts.queries import SQL
from telemetry.settings import PREFIX, Settings
from tests.debian import unpacked
from tests.local_server import Handler, LocalServer
from tests.stack.files import PROVISIONING, load
from tests.tools import program

ROOT = Path(__file__).parents[2]
TEXT = (ROOT / "docs" / "how-to" / "assets.md").read_text()
SHOWN = "/etc/analysis-telemetry"
BLOCKS = re.findall(r"^```console\n(.*?)^```$", TEXT, re.M | re.S)
EXAMPLES = re.findall(r"^```yaml\n(.*?)^```$", TEXT, re.M | re.S)
(PROVIDER,) = yaml.safe_load(EXAMPLES[0])["providers"]
(SHIPPED_PROVIDER,) = load(PROVISIONING / "dashboards" / "analysis.yml")["providers"]
ELSEWHERE = ("kubectl", "mimirtool")
"""Programs that need a cluster or an account."""


def block(words: str) -> str:
    """Return the commands of the block with these words, without what they print."""
    (found,) = [each for each in BLOCKS if words in each]
    commands = re.findall(r"^\$ (.*(?:\n  .*)*)", found, re.M)
    return "\n".join(commands)


def run(commands: str, folder: Path, **settings: str) -> str:
    """Run commands in a shell that finds `flask` and the programs, in a directory of the test."""
    bin_ = folder / "bin"
    if not bin_.exists():
        bin_.mkdir()
        flask = bin_ / "flask"
        flask.write_text(f'#!/bin/sh\nexec {sys.executable} -m flask "$@"\n')
        flask.chmod(0o755)
    environment = os.environ | settings | {"PATH": f"{bin_}{os.pathsep}{os.environ['PATH']}"}
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        ["bash", "-euc", commands.replace(SHOWN, str(folder / "assets"))],
        cwd=folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_the_commands_print_what_the_page_shows(tmp_path: Path) -> None:
    """The first one writes everything, the second one what the budget changes, the third one over an edit."""
    first, *more = [each for each in BLOCKS if f"flask telemetry assets {SHOWN}" in each]
    write = first.removeprefix("$ ")
    edited = tmp_path / "assets" / "prometheus" / "prometheus.yml"
    for each in more:
        run(write, tmp_path)
        if "overwritten" in each:
            edited.write_text(f"# mine\n{edited.read_text()}")
        command, *printed = each.splitlines(keepends=True)
        shown = "".join(line for line in printed if not line.startswith("$ "))
        said = run(command.removeprefix("$ "), tmp_path)
        assert said == shown.replace(SHOWN, str(tmp_path / "assets"))
    assert "< # mine" in run(f"{printed[-1].removeprefix('$ ').strip()} || true", tmp_path)


def test_the_programs_check_it(tmp_path: Path) -> None:
    """By the commands of the page."""
    run(f"flask telemetry assets {SHOWN}", tmp_path)
    for name in ("promtool", "amtool", "otelcol"):
        (tmp_path / "bin" / name).symlink_to(program(name))

    said = run(block("promtool check config"), tmp_path)
    assert said.count("SUCCESS") >= 12


def test_the_dashboards_are_sent_to_a_grafana(tmp_path: Path) -> None:
    """By HTTP, each as the JSON that Grafana's API takes, in the folder and with the uids of the page."""
    taken: list[dict[str, Any]] = []
    asked: list[tuple[str, str]] = []

    class Grafana(Handler):
        def do_POST(self) -> None:
            asked.append((self.path, self.headers["Authorization"]))
            taken.append(json.loads(self.body()))
            self.answer()

    words = ("TELEMETRY_GRAFANA_TRACES_TYPE=tempo", "send folders", "send dashboards/db")
    commands = "\n".join(map(block, words))
    with LocalServer(Grafana) as server:
        run(commands, tmp_path, GRAFANA_URL=server.url, GRAFANA_TOKEN="secret")

    first, *others = asked
    assert first == ("/api/folders", "Bearer secret")
    assert {*others} == {("/api/dashboards/db", "Bearer secret")}
    folder = taken.pop(0)
    assert folder["title"] == kubernetes.FOLDER == PROVIDER["folder"] == SHIPPED_PROVIDER["folder"]
    assert folder["uid"] == PROVIDER["folderUid"] == SHIPPED_PROVIDER["folderUid"]
    uids = {each["dashboard"]["uid"] for each in taken}
    assert uids == {path.stem for path in (ROOT / "grafana" / "dashboards").glob("*.json")}
    for each in taken:
        assert (each["overwrite"], each["folderUid"]) == (True, folder["uid"])
        sources = {
            one["query"]: one["current"]["value"]
            for one in each["dashboard"]["templating"]["list"]
            if one["type"] == "datasource"
        }
        expected = {"prometheus": "grafanacloud-prom", "tempo": "grafanacloud-traces"}
        assert sources.items() <= {SQL.plugin: "fe2kq7w9x1c0ga", **expected}.items()


@pytest.mark.parametrize("kind", ["dashboards", "rules"])
def test_kubectl_reads_the_objects(tmp_path: Path, kind: str) -> None:
    """Without a cluster: the page's command that labels rules, for the folders of both kinds."""
    folder = unpacked("kubernetes-client", ("kubernetes-client",), "usr/bin/kubectl")
    run(f"flask telemetry assets {SHOWN}", tmp_path)
    (tmp_path / "bin" / "kubectl").symlink_to(folder / "usr" / "bin" / "kubectl")
    (command,) = [line for line in block("kubectl label").splitlines() if " label " in line]
    assert {*re.findall(rf"^\$ kubectl .*--filename {SHOWN}/(\S+)", TEXT, re.M)} == {
        "kubernetes/dashboards",
        "kubernetes/rules",
    }

    said = run(f"{command} --local --output=yaml".replace("kubernetes/rules", f"kubernetes/{kind}"), tmp_path)
    printed = re.split(r"^(?=apiVersion: )", said, flags=re.M)[1:]  # with nothing between them
    read = {each["metadata"]["name"]: each for each in map(yaml.safe_load, printed)}
    paths = [*(tmp_path / "assets" / "kubernetes" / kind).iterdir()]
    assert len(read) == len(paths) > 8
    for path in paths:
        written = yaml.safe_load(path.read_text())
        written["metadata"]["labels"]["release"] = "kube-prometheus-stack"
        assert read[written["metadata"]["name"]] == written


def test_mimirtool_gets_the_rules(tmp_path: Path) -> None:
    """It needs an account; what it is given are the files without that for a Prometheus of one's own."""
    mimirtool = tmp_path / "bin" / "mimirtool"
    run("flask telemetry assets grafana-cloud", tmp_path)
    mimirtool.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    mimirtool.chmod(0o755)

    given = {Path(line).name for line in run(block("mimirtool rules load"), tmp_path).splitlines()[2:]}
    assert given == {path.name for path in (ROOT / "prometheus" / "rules").iterdir()} - {"platform.yml"}
    run("flask telemetry assets grafana-cloud --check", tmp_path)


def test_every_command_is_tried() -> None:
    """Those that need a cluster or an account apart, of which only the files are looked at."""
    tried = (
        *("flask telemetry assets", "diff", "promtool", "amtool", "cd ", "otelcol", "export TELEMETRY"),
        *("send() {", "echo ", "for file", "rm "),
    )
    for line in re.findall(r"^\$ (.+)$", "\n".join(BLOCKS), re.M):
        assert any(word in line for word in tried) or line.startswith(ELSEWHERE), line


@pytest.mark.parametrize("example", EXAMPLES, ids=["provider", "source"])
def test_provisioning_fits_what_is_written(example: str) -> None:
    """The folder is one that is written, and the data source has the default uid and type.

    Grafana's other data sources stay what they are: it finds them by name, and knows one default.
    """
    found = yaml.safe_load(example)
    assert found.keys() <= {"apiVersion", "providers", "datasources"}
    for provider in found.get("providers", ()):
        folder = provider["options"]["path"].removeprefix(f"{SHOWN}/")
        assert any(name.startswith(f"{folder}/") for name in contents(Settings()))
        assert (provider["type"], provider["allowUiUpdates"], provider["disableDeletion"]) == (
            "file",
            False,
            True,
        )
    for source in found.get("datasources", ()):
        assert (source["uid"], source["type"]) == (Settings().grafana_postgresql_uid, SQL.plugin)
        assert "isDefault" not in source and source["name"].lower() not in ("postgres", "postgresql")
        assert source["secureJsonData"]["password"].startswith("$")  # from the environment


def test_the_tables_are_complete() -> None:
    """Every folder, every word, and every setting that nothing else reads."""
    folders = {name.partition("/")[0] for name in contents(Settings())}
    assert {place.partition("/")[0] for place in re.findall(r"^\| `([\w/]+/)` \|", TEXT, re.M)} == folders
    rows = "".join(re.findall(rf"^\| `(?:{'|'.join(State)})`.*$", TEXT, re.M))
    assert {*re.findall(r"`(\w+)`", rows)} == {*State}
    named = {*re.findall(rf"`{PREFIX}(\w+)`", TEXT)}
    written = re.compile("grafana_|.*_targets$")
    ours = {each.name.upper() for each in fields(Settings) if written.match(each.name)}
    assert named == {*ours, "ALERT_JOB", "APP_URL", "RUNBOOKS_URL"}
