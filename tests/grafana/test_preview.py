"""The page draws every panel of every dashboard from its own query results, and its pictures are there."""

from __future__ import annotations

import json
import os
import re
import time
import urllib.request
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from opentelemetry.sdk.metrics import MeterProvider
from PIL import Image

from exporters.metrics.listener import Listener
from grafana.write import FOLDER
from telemetry.settings import Settings
from tests.choice import sample
from tests.every_metric import give_values
from tests.grafana.conftest import Database
from tests.months.backfilled import backfill
from tests.prometheus import Prometheus
from tests.tools import program
from tools.preview import frames
from tools.preview.pictures import MODES, Preview, opened
from tools.preview.programs import ROOT, NoNode, bundle, install
from tools.preview.queries import Sources, answers, dashboards

UIDS = [path.stem for path in sorted(FOLDER.glob("*.json"))]
JOB = "ours"
DAY = 86400
OTHERS = re.compile(r"otelcol_|ALERTS|gen_ai_client_|job:|\bup\b|> 0$")
"""What other programs, recordings or alerts would have to say."""
LARGEST = 200_000
"""Bytes of a picture."""
SEEN = """sections => sections.map(section => {
  const body = section.querySelector('.body');
  const canvases = [...body.querySelectorAll('canvas')].map(canvas => {
    const pixels = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height);
    return new Set(new Uint32Array(pixels.data.buffer)).size;
  });
  return {
    id: Number(section.dataset.id),
    title: section.querySelector('h2').firstChild.textContent,
    text: body.innerText.trim(),
    isEmpty: Boolean(body.querySelector('.empty')),
    colors: Math.max(0, ...canvases),
  };
})"""
"""What can be seen of each panel."""

Seen = dict[str, dict[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def prometheus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Prometheus]:
    """A Prometheus with a month of an application in which every metric grows."""
    folder = tmp_path_factory.mktemp("prometheus")
    backfill("metrics", month(), folder)
    with Prometheus(
        program=program("prometheus"),
        configuration="global: {}\n",
        arguments=("--storage.tsdb.retention.time=10y", "--query.lookback-delta=1h"),
        data=folder / "data",
    ) as running:
        yield running


def month() -> Iterator[str]:
    """Yield samples of the metrics that the dashboards read: more of them for those that show a week."""
    read = set(re.findall(r"\w+", " ".join(path.read_text() for path in FOLDER.glob("*.json"))))
    end = int(time.time())
    seconds = [*range(end - 31 * DAY, end - 8 * DAY, 1500), *range(end - 8 * DAY, end, 500)]
    for line in exposition().splitlines():
        found = re.fullmatch(r"(\w+)(?:\{(.*)\})? (\S+)", line)
        if found and found[1] in read:
            name, labels, value = found[1], found[2] or "", float(found[3])
            head = f'{name}{{{labels}{"," * bool(labels)}job="{JOB}",instance="one"}}'
            for number, at in enumerate(seconds):
                yield f"{head} {value * number} {at}\n"


def exposition() -> str:
    """Return all metrics of the application as text."""
    listener, provider = Listener(Settings(metrics_port=0), lambda _: None), MeterProvider()
    listener.register(provider)
    give_values(provider)
    listener.start()
    with urllib.request.urlopen(f"http://127.0.0.1:{listener.port}/metrics", timeout=60) as answer:
        text: str = answer.read().decode()
    listener.stop()
    provider.shutdown()
    return text


@pytest.fixture(scope="module")
def packages() -> Path:
    """The packages of the page; without Node its tests are skipped or, in continuous integration, fail."""
    try:
        return install()
    except NoNode as error:
        if os.environ.get("CI"):
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def pages(
    packages: Path,
    filled: Database,
    empty: Database,
    prometheus: Prometheus,
    tmp_path_factory: pytest.TempPathFactory,
) -> dict[str, Path]:
    """The page with a history, and the page of a database in which nothing has happened."""
    now, found = datetime.now(UTC), {}
    for name, database, job in (("filled", filled, JOB), ("empty", empty, "nobody")):
        with psycopg.connect(database.reader_url, autocommit=True) as reader:
            sources = Sources(reader, prometheus.url, job)
            boards = [answers(dashboard, sources, now) for dashboard in dashboards(FOLDER)]
        found[name] = bundle(packages, tmp_path_factory.mktemp(name), boards)
    return found


@pytest.fixture(scope="module")
def preview() -> Iterator[Preview]:
    """One browser for all tests."""
    with opened() as preview:
        yield preview


def seen(preview: Preview, page: Path, mode: str) -> Seen:
    found = {}
    for uid in sample(UIDS):
        preview.show(page, uid, mode)
        panels = preview.page.eval_on_selector_all("section.panel", SEEN)
        found[uid] = {panel["id"]: panel for panel in panels}
    assert preview.errors == []
    return found


def test_every_panel_of_every_dashboard_is_drawn(preview: Preview, pages: dict[str, Path]) -> None:
    """As a chart, as a table or numbers, or as the sentence that says why there is nothing."""
    found = seen(preview, pages["filled"], "light")

    boards = {board["uid"]: board for board in dashboards(FOLDER)}
    for uid, drawn in found.items():
        board = boards[uid]
        assert {panel["id"]: panel["title"] for panel in board["panels"]} == {
            number: panel["title"] for number, panel in drawn.items()
        }
        for panel in board["panels"]:
            shown = drawn[panel["id"]]
            sentence = panel["fieldConfig"]["defaults"]["noValue"]
            if shown["isEmpty"]:
                assert shown["text"] == sentence
            else:
                assert shown["text"] or shown["colors"] > 2, (board["uid"], panel["title"])
            if all("expr" in target and not OTHERS.search(target["expr"]) for target in panel["targets"]):
                assert not shown["isEmpty"], (board["uid"], panel["title"])


def test_an_empty_database_has_sentences(preview: Preview, pages: dict[str, Path]) -> None:
    """In the dark, too; and no script fails where there is nothing."""
    found = seen(preview, pages["empty"], "dark")

    for panels in found.values():
        for panel in panels.values():
            assert panel["text"] or panel["colors"] > 1, panel["title"]


def test_the_page_says_that_it_is_not_grafana(preview: Preview, pages: dict[str, Path]) -> None:
    """In every picture."""
    preview.show(pages["filled"], UIDS[0], "light")

    assert preview.page.inner_text(".preview") == "Preview: drawn without Grafana"


def test_values_are_written_as_grafana_writes_them(preview: Preview, pages: dict[str, Path]) -> None:
    """Units, decimals, value mappings and the pivot come from its own package."""
    preview.show(pages["filled"], "analysis-cost", "light")
    cost = preview.page.inner_text('section.panel[data-id="1"] .body')
    assert cost.splitlines()[0] == "Cost" and "$" in cost

    preview.show(pages["filled"], "analysis-resume-quality", "light")
    matrix = preview.page.inner_text('section.panel[data-id="4"] table')
    assert "a: < 1 K" in matrix.splitlines()[0] and "1: < 50 kB" in matrix


def test_results_become_frames_as_in_grafana() -> None:
    """A column `metric` makes a column for each name; what a moment lacks is null."""
    morning, evening = datetime(2026, 1, 1, 8), datetime(2026, 1, 1, 20)
    rows = [(morning, "a", 1), (evening, "a", 2), (evening, "b", 3)]
    wide = frames.over_time(
        frames.of_rows("A", ("time", "metric", "value"), ("timestamp", "text", "int8"), rows)
    )
    assert [(field["name"], field["values"]) for field in wide["fields"]] == [  # type: ignore[attr-defined]
        (
            "Time",
            [morning.replace(tzinfo=UTC).timestamp() * 1000, evening.replace(tzinfo=UTC).timestamp() * 1000],
        ),
        ("a", [1, 2]),
        ("b", [None, 3]),
    ]

    (series,) = frames.of_series(
        "A", "{{stage}} now", [{"metric": {"stage": "ranking"}, "values": [(1, "NaN")]}]
    )
    value = series["fields"][1]  # type: ignore[index]
    assert (value["config"]["displayNameFromDS"], value["values"]) == ("ranking now", [None])
    assert json.dumps(series)


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("uid", UIDS)
def test_every_dashboard_has_its_picture(uid: str, mode: str) -> None:
    """Small enough to be looked at on a page, and shown on the page of dashboards."""
    path = ROOT / "docs" / "pictures" / f"{uid}-{mode}.png"
    assert path.exists(), "run `make pictures`"
    assert path.stat().st_size <= LARGEST
    with Image.open(path) as picture:
        assert picture.width == 1320 and picture.height > 800
    assert f'"../pictures/{path.name}"' in (ROOT / "docs/reference/dashboards.md").read_text()


def test_the_readme_shows_the_overview() -> None:
    """On its first screen."""
    first = (ROOT / "README.md").read_text().partition("\n## ")[0]
    for mode in MODES:
        assert f'"docs/pictures/first-{mode}.png"' in first
        assert (ROOT / "docs" / "pictures" / f"first-{mode}.png").stat().st_size <= LARGEST
