"""When an open run is saved: what matters at once, everything else at growing intervals."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import TracerProvider

import telemetry
from exporters.recording.pace import FIRST_SECONDS, Pace
from exporters.rollup.snapshot import Snapshot
from telemetry import conventions as c
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.exporters.makers import Host
from tests.spool import snapshots
from tests.waiting import until


class Recorded:
    """An application under telemetry whose checkpoints are an hour apart."""

    def __init__(self, spool_dir: Path, provider: TracerProvider) -> None:
        self._spool_dir = spool_dir
        self._tracer = provider.get_tracer(c.GENAI_SCOPE)

    def call(self) -> None:
        """Make a call to OpenAI."""
        with self._tracer.start_as_current_span("chat", attributes={c.Attribute.OPERATION: "chat"}):
            pass

    @property
    def saved(self) -> list[Snapshot]:
        """The snapshots that would remain if the process were killed now."""
        return snapshots(self._spool_dir)

    @property
    def calls(self) -> int:
        return sum(usage.calls for snapshot in self.saved for usage in snapshot.usage.values())


@pytest.fixture
def recorded(sqlite_host: Host, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    monkeypatch.setattr("exporters.recording.pace.FIRST_SECONDS", 3600)
    settings = Settings(
        database_url=sqlite_host.url, spool_dir=tmp_path / "spool", hmac_key="k", checkpoint_seconds=3600
    )
    provider = TracerProvider(shutdown_on_exit=False)
    with recording(settings, provider):
        yield Recorded(tmp_path / "spool", provider)


def test_the_link_is_saved_at_once(recorded: Recorded) -> None:
    """A run whose process is killed right afterwards still belongs to its analysis."""
    with telemetry.run("analysis", user_id=1) as run:
        run.link(5)
        until(lambda: [snapshot.analysis_id for snapshot in recorded.saved] == [5])


def test_a_link_that_is_known_at_the_start_is_saved_with_it(recorded: Recorded) -> None:
    """The first snapshot of a run has all arguments of its start."""
    with telemetry.run("analysis", user_id=1, analysis_id=5):
        assert [snapshot.analysis_id for snapshot in recorded.saved] == [5]


def test_the_first_call_is_saved_at_once(recorded: Recorded) -> None:
    """A run whose process is killed right afterwards has spent something."""
    with telemetry.run("analysis", user_id=1):
        recorded.call()
        until(lambda: recorded.calls == 1)


def test_the_first_call_of_another_process_is_saved_at_once(recorded: Recorded) -> None:
    """The first call of a resumed run is saved as the first of a new one is."""
    carrier = {"run_id": "a" * 32, "kind": "analysis"}
    with telemetry.resume(carrier):
        recorded.call()
        until(lambda: recorded.calls == 1)


def test_a_failure_is_saved_at_once(recorded: Recorded) -> None:
    """That the application has marked its run as failed outlives the process."""
    with telemetry.run("analysis", user_id=1):
        telemetry.fail_current_run("quota")
        until(lambda: [snapshot.status for snapshot in recorded.saved] == ["failed"])


def test_later_calls_wait_for_the_checkpoint(recorded: Recorded) -> None:
    """Not every call is worth a file: the application may make thousands."""
    with telemetry.run("analysis", user_id=1):
        recorded.call()
        until(lambda: recorded.calls == 1)
        for _ in range(5):
            recorded.call()
        telemetry.count("app_retries")
        assert recorded.calls == 1


def test_the_first_call_outside_of_runs_is_saved_at_once(sqlite_host: Host, tmp_path: Path) -> None:
    """It is saved whatever the pause between checkpoints."""
    settings = Settings(
        database_url="sqlite:////nowhere/host", spool_dir=tmp_path, hmac_key="k", checkpoint_seconds=3600
    )
    provider = TracerProvider(shutdown_on_exit=False)
    with recording(settings, provider):
        recorded = Recorded(tmp_path, provider)
        recorded.call()
        until(lambda: recorded.calls == 1)


@given(longest=st.floats(0.05, 60), seconds=st.floats(0, 600))
def test_pauses_between_checkpoints_grow(longest: float, seconds: float) -> None:
    """Few files are written, and a killed process loses no more time than it had run before."""
    pace = Pace(longest, 0)
    saves = [0.0]
    while pace.due <= seconds:
        saves.append(pace.due)
        pace.saved(pace.due)
    pauses = [after - before for before, after in zip(saves, saves[1:], strict=False)]

    assert all(pause <= longest + 1e-9 for pause in pauses)
    assert all(
        pause <= max(FIRST_SECONDS, 1.001 * (before + FIRST_SECONDS))
        for before, pause in zip(saves, pauses, strict=False)
    )
    assert len(saves) <= 2 + seconds / longest + 8


def test_pauses_begin_anew_after_a_quiet_time() -> None:
    """The next save after a quiet time is soon followed by another."""
    pace = Pace(5, 0)
    for _ in range(5):
        pace.saved(pace.due)
    now = pace.due + 100
    pace.saved(now)

    assert pace.due == now + FIRST_SECONDS
