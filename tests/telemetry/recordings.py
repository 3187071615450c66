"""The runs that a test recorded, read from the database."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from openai import AsyncOpenAI, OpenAI
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.trace import Tracer

from exporters.rollup.merge import Rollup, merge
from exporters.rollup.snapshot import Snapshot
from exporters.sql.schema import tables

MODEL = "gpt-4o-mini"


class Broken(Exception):
    """An error of the application."""


BROKEN = f"{Broken.__module__}.Broken"


@dataclass
class Recorded:
    """A recording pipeline, and the runs that it delivered."""

    pipeline: Any
    provider: TracerProvider
    path: Path

    @property
    def tracer(self) -> Tracer:
        """A tracer of the application."""
        return self.provider.get_tracer("the application")

    def runs(self) -> list[Rollup]:
        """End the recording and return its runs, in the order in which they began."""
        assert self.pipeline.shutdown(10), "not everything was delivered"
        snapshots: dict[str, list[Snapshot]] = {}
        for row in self.rows(tables.fragments):
            snapshots.setdefault(row["run_id"], []).append(Snapshot.from_json(row["state"]))
        return sorted(map(merge, snapshots.values()), key=lambda run: run.started_at)

    def run(self) -> Rollup:
        """End the recording and return its only run."""
        (run,) = self.runs()
        return run

    def rows(self, table: sa.Table) -> list[dict[str, Any]]:
        """Return the rows of a table."""
        engine = sa.create_engine(f"sqlite:///{self.path}", poolclass=sa.NullPool)
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.select(table)).mappings()]


def ask(client: OpenAI, text: str = "Hello") -> None:
    """Make one call."""
    client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}])


async def ask_async(client: AsyncOpenAI, text: str = "Hello") -> None:
    """Make one call in an event loop."""
    await client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": text}])


def calls_by_stage(run: Rollup) -> dict[str, int]:
    """Return the number of calls of each stage."""
    calls: Counter[str] = Counter()
    for key, usage in run.usage.items():
        calls[key.stage] += usage.calls
    return {stage: count for stage, count in calls.items() if count}


def stages(run: Rollup) -> set[str]:
    """Return the stages whose time was measured."""
    return {key.stage for key in run.usage if not key.operation}
