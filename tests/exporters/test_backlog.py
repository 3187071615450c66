"""However much waits for the database, a run is not slower for it."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, ValuesView
from pathlib import Path
from typing import Any

import pytest

from exporters.metrics.totals import Totals
from exporters.process.pipeline import Pipeline
from exporters.spool.directory import Spool
from exporters.spool.waiting import Waiting
from telemetry.settings import Settings
from tests.exporters.makers import Fragment, visit


class Looked(dict[str, Waiting]):
    """Counts how many of the waiting entries are looked at."""

    count = 0

    def __getitem__(self, key: str) -> Waiting:
        self.count += 1
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.count += 1
        return super().get(key, default)

    def __iter__(self) -> Iterator[str]:
        self.count += len(self)
        return super().__iter__()

    def values(self) -> ValuesView[Waiting]:  # type: ignore[override]
        self.count += len(self)
        return super().values()

    def items(self) -> ItemsView[str, Waiting]:  # type: ignore[override]
        self.count += len(self)
        return super().items()


def looked_at(spool: Spool) -> Looked:
    spool._backlog._waiting = Looked(spool._backlog._waiting)
    return spool._backlog._waiting


@pytest.mark.parametrize("waiting", [10, 300])
def test_a_run_during_an_outage_does_not_look_through_the_spool(tmp_path: Path, waiting: int) -> None:
    """Adding a run, and working out when to deliver it, takes as long as with an empty spool."""
    settings = Settings(
        database_url="postgresql+psycopg2://nobody@127.0.0.1:1/none", spool_dir=tmp_path, hmac_key="k"
    )
    pipeline = Pipeline(settings)
    writer, spool = pipeline.writer, pipeline.spool
    assert writer is not None
    for _ in range(waiting):
        spool.put(Fragment().close())
    writer._tick()  # notices that the database is down
    looked = looked_at(spool)
    for _ in range(5):
        spool.put(Fragment().close())
        writer._tick()
        writer._pause()

    assert looked.count <= 5 * 4
    assert spool.pending() == waiting + 5
    writer._database.close()


@pytest.mark.parametrize("waiting", [10, 300])
def test_a_run_with_a_full_spool_does_not_look_through_the_spool(tmp_path: Path, waiting: int) -> None:
    """Runs that ended long ago are not searched for something that could be shed."""
    spool = Spool(Settings(spool_dir=tmp_path, spool_max_bytes=1024), Totals())
    for _ in range(waiting):
        spool.put(Fragment().close())
    looked = looked_at(spool)
    for _ in range(5):
        spool.put(Fragment().documents(visit("cv", size=1)).close())

    assert looked.count <= 5 * 4
    spool.close()
