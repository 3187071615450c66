"""Exceptions of the application's signal handlers reach it, wherever in telemetry the signal arrives."""

from __future__ import annotations

import dis
import functools
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from contextvars import copy_context
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

import opentelemetry.context
import pytest
import sqlalchemy as sa
from opentelemetry.context import Context, get_current
from opentelemetry.sdk.trace import TracerProvider

import exporters
import telemetry
from examples.screener.standin.client import StandIn
from exporters.rollup.snapshot import Snapshot
from exporters.sql.schema import tables
from telemetry._internal.guard import guarded, internal_errors
from telemetry.conventions import GENAI_SCOPE, Attribute
from telemetry.settings import Settings
from telemetry.testing import recording
from tests import environments
from tests.choice import first_of
from tests.end_to_end.processes import ROOT, environment
from tests.installers import pythons

TIMERS = 1000
OURS = tuple(str(Path(package.__file__ or "").parent) for package in (telemetry, exporters))
CALL: dict[str, str | int] = {
    Attribute.OPERATION: "chat",
    Attribute.REQUEST_MODEL: "gpt-4o-mini",
    Attribute.INPUT_TOKENS: 10,
    Attribute.OUTPUT_TOKENS: 1,
}


class Limit(Exception):
    """Raised by a time limit of the application."""


def raise_limit(*_: object) -> None:
    raise Limit


class Handlers:
    """Handlers that are methods or callable objects."""

    def method(self, number: int, frame: FrameType | None) -> None:
        raise Limit

    def __call__(self, number: int, frame: FrameType | None) -> None:
        raise_limit()


def forgetful(number: int, frame: FrameType | None) -> None:
    """A handler that deletes its arguments."""
    del frame
    raise Limit


def once(number: int, frame: FrameType | None) -> None:
    """A handler that is no longer installed when its exception is examined."""
    signal.signal(number, signal.SIG_DFL)
    raise Limit


def with_extra_argument(text: str, number: int, frame: FrameType | None) -> None:
    raise Limit


@functools.lru_cache(None)
def cached(number: int, frame: FrameType | None) -> None:
    raise Limit


HANDLERS: dict[str, Callable[[int, FrameType | None], Any]] = {
    "function": raise_limit,
    "method": Handlers().method,
    "object": Handlers(),
    "partial": functools.partial(with_extra_argument, "text"),
    "lambda": lambda *given: raise_limit(),
    "forgetful": forgetful,
    "once": once,
    "built-in wrapper": cached,
}


@pytest.fixture(autouse=True)
def handled() -> Iterator[None]:
    """Leave the handler of SIGUSR1 as it was."""
    before = signal.signal(signal.SIGUSR1, raise_limit)
    yield
    signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def swallowing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Swallow internal errors, as outside of tests."""
    monkeypatch.setattr("telemetry._internal.guard._raising", False)


@guarded("api")
def signalled() -> None:
    signal.raise_signal(signal.SIGUSR1)


@guarded("api")
def signalled_and_renamed() -> None:
    try:
        signal.raise_signal(signal.SIGUSR1)
    except Limit as error:
        raise ValueError("of a library in between") from error


@guarded("api")
def signalled_and_lost() -> None:
    try:
        signal.raise_signal(signal.SIGUSR1)
    finally:
        raise ValueError("of a library in between")


@pytest.mark.usefixtures("swallowing")
@pytest.mark.parametrize("handler", HANDLERS.values(), ids=HANDLERS)
def test_exception_of_any_kind_of_handler_passes(handler: Callable[[int, FrameType | None], Any]) -> None:
    """Functions, methods, objects and wrappers are recognised as handlers."""
    signal.signal(signal.SIGUSR1, handler)
    with pytest.raises(Limit):
        signalled()
    assert internal_errors() == {}


@pytest.mark.usefixtures("swallowing")
@pytest.mark.parametrize("act", [signalled_and_renamed, signalled_and_lost])
def test_exception_passes_although_a_library_replaced_it(act: Callable[[], None]) -> None:
    """A library may raise another exception from it, or in its place; the handler's one arrives."""
    with pytest.raises(Limit):
        act()
    assert internal_errors() == {}


@pytest.mark.usefixtures("swallowing")
def test_exception_passes_through_a_guarded_block() -> None:
    """`guarded` as a context manager lets it pass, as it does as a decorator."""
    with pytest.raises(Limit), guarded("spool"):
        signal.raise_signal(signal.SIGUSR1)
    assert internal_errors() == {}


@pytest.mark.usefixtures("swallowing")
@pytest.mark.internal_errors
def test_internal_errors_while_the_application_handles_its_limit_are_swallowed() -> None:
    """The limit is the context of the internal error, not its cause."""

    @guarded("api")
    def fail() -> None:
        raise ValueError

    @guarded("api")
    def fail_again() -> None:
        with guarded("spool"):
            raise ValueError

    try:
        signal.raise_signal(signal.SIGUSR1)
    except Limit:
        fail()
        fail_again()
    assert internal_errors() == {"api": 1, "spool": 1}


@pytest.mark.usefixtures("swallowing")
@pytest.mark.internal_errors
def test_internal_errors_in_another_thread_are_swallowed() -> None:
    """Signal handlers run in the main thread only, so that an error elsewhere is never theirs."""

    @guarded("api")
    def fail(number: int, frame: FrameType | None) -> None:
        raise ValueError

    thread = threading.Thread(target=lambda: fail(1, sys._getframe()))
    thread.start()
    thread.join()
    assert internal_errors() == {"api": 1}


Place = tuple[CodeType, int]


class Interruption:
    """Raises a signal at a place in telemetry's code where none was raised before.

    The interpreter checks for signals where a function begins, where a loop jumps back, and after a call.
    """

    def __init__(self, tried: set[Place]) -> None:
        self._tried = tried
        self._before: dict[FrameType, int] = {}
        self.place = ""

    def __enter__(self) -> None:
        sys._getframe().f_trace_opcodes = True  # Python 3.12 only looks for it when tracing begins
        sys.settrace(self._enter)

    def __exit__(self, *_: object) -> None:
        sys.settrace(None)

    def _enter(self, frame: FrameType, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.startswith(OURS):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        return self._step

    def _step(self, frame: FrameType, event: str, _: Any) -> Any:
        if event == "opcode":
            code, at = frame.f_code, frame.f_lasti
            before, self._before[frame] = self._before.get(frame), at
            if (
                before is not None
                and frame.f_lineno is not None  # 3.12 closes generators with code of its own, without checks
                and _checks_for_signals(code, before, at)
                and (code, before) not in self._tried
            ):
                self._tried.add((code, before))
                self.place = f"{Path(code.co_filename).name}:{frame.f_lineno} ({code.co_qualname})"
                sys.settrace(None)
                signal.raise_signal(signal.SIGUSR1)
        return self._step


def _checks_for_signals(code: CodeType, at: int, after: int) -> bool:
    """Return whether the interpreter checks for signals at an instruction.

    The tracer can raise only at the next instruction, which must have the same exception handler.
    """
    name = dis.opname[code.co_code[at]]
    return name.startswith(("CALL", "JUMP_BACKWARD", "RESUME")) and _handler(code, at) == _handler(
        code, after
    )


def _handler(code: CodeType, at: int) -> int | None:
    entries = dis._parse_exception_table(code)  # type: ignore[attr-defined]
    return next((entry.target for entry in entries if entry.start <= at < entry.end), None)


class Work:
    """A run with one call, as an application has it."""

    def __init__(self, provider: TracerProvider) -> None:
        self._tracer = provider.get_tracer(GENAI_SCOPE)
        self.run_id = ""
        self.has_called = False

    def do(self) -> None:
        with telemetry.run("analysis", user_id=1, candidates=1) as run:
            self.run_id = run.run_id or ""
            with telemetry.stage("ranking"), telemetry.document("a.pdf", characters=9) as document:
                span = self._tracer.start_span("chat", attributes=CALL)
                self.has_called = True
                span.end()
                document.score(0.5)
            telemetry.count("fallbacks")


@pytest.mark.usefixtures("swallowing")
def test_signal_at_any_place_passes_and_loses_no_call(tmp_path: Path) -> None:
    """No lock stays held, and each call is counted once or marked as unfinished."""
    ended: list[Snapshot] = []
    provider = TracerProvider(shutdown_on_exit=False)
    tried: set[Place] = set()
    works: list[Work] = []
    with recording(Settings(spool_dir=tmp_path / "spool"), provider) as pipeline:
        pipeline.on_end(ended.append)
        is_through = False
        while not is_through:
            work, interruption = Work(provider), Interruption(tried)
            works.append(work)
            try:
                with interruption:  # the signal may come before the block is left
                    copy_context().run(work.do)
                is_through = True
            except Limit:
                pass
            assert bool(interruption.place) is not is_through, f"lost at {interruption.place}"
    assert len(tried) > 100
    assert internal_errors() == {}
    states = {state.run_id: state for state in ended}
    assert len(states) == len({state.fragment_id for state in ended})
    called = [states[work.run_id] for work in works if work.has_called and work.run_id in states]
    counted = [(sum(usage.calls for usage in state.usage.values()), state.open_calls) for state in called]
    assert set(counted) <= {(1, 0), (0, 1)}
    assert counted.count((1, 0)) > 100


@pytest.mark.usefixtures("swallowing")
@pytest.mark.parametrize("block", [telemetry.run, telemetry.stage, telemetry.document])
def test_interrupted_block_restores_the_context(
    block: Callable[[str], AbstractContextManager[object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A signal while a block is entered leaves the context as it was."""
    with recording(Settings(spool_dir=tmp_path / "spool")), telemetry.run("analysis"):
        before = get_current()
        attach = opentelemetry.context.attach

        def attach_and_signal(context: Context) -> object:
            monkeypatch.undo()
            token = attach(context)
            signal.raise_signal(signal.SIGUSR1)
            return token

        monkeypatch.setattr("telemetry.api.runs.context.attach", attach_and_signal)
        with pytest.raises(Limit), block("intake"):
            pass
        assert get_current() == before


def is_another(version: str) -> bool:
    """Return whether this is not the version of this interpreter."""
    return not sys.version.startswith(f"{version}.")


@pytest.mark.parametrize(
    "version", first_of(sorted(pythons(), key=is_another), "another Python, whose packages must be installed")
)
def test_no_signal_is_lost_while_streams_are_collected(
    version: str, service: StandIn, migrated_sqlite: Path, tmp_path: Path
) -> None:
    """No code of telemetry or its instrumentation runs in finalizers, where Python drops exceptions."""
    path = tmp_path / "host.sqlite"
    shutil.copy(migrated_sqlite, path)
    settings = {"TELEMETRY_DATABASE_URL": f"sqlite:///{path}", "TELEMETRY_SPOOL_DIR": str(tmp_path / "spool")}
    python = environments.of_python(pythons()[version], version)
    command = [str(python), "-m", "tests.telemetry.signalled", service.url, str(TIMERS)]

    done = subprocess.run(
        command, cwd=ROOT, env=environment(**settings), timeout=300, capture_output=True, text=True
    )

    assert done.returncode == 0, done.stderr
    lost, made = map(int, done.stdout.split())
    assert (lost, made) == (0, TIMERS / 4), done.stderr
    engine = sa.create_engine(f"sqlite:///{path}", poolclass=sa.NullPool)
    with engine.connect() as connection:
        (run,) = connection.execute(sa.select(tables.runs)).mappings()
    assert (run["api_calls"], run["unfinished"]) == (made, 0)


FORKING = """\
import os, signal, sys, threading
from exporters.sql.database.fork_gate import gate
from telemetry._internal.process.forks import register_in_child


class Limit(Exception):
    pass


def raise_limit(*_):
    raise Limit


def interrupted():
    calls.append(os.getpid())
    if len(calls) == 1:
        signal.raise_signal(signal.SIGUSR1)


def hold():
    with gate.passed():
        held.set()
        arrived.wait()


calls, held, arrived = [], threading.Event(), threading.Event()
signal.signal(signal.SIGALRM, raise_limit)
signal.signal(signal.SIGUSR1, raise_limit)
if sys.argv[1] != "before":
    register_in_child(interrupted)
else:
    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    signal.setitimer(signal.ITIMER_REAL, 0.1)
parent, outcome = os.getpid(), "lost"
try:
    os.fork()
    os.getpid()  # the interpreter checks for signals after a call
except Limit:
    outcome = "arrived"
if os.getpid() != parent:
    os._exit(0 if outcome == "arrived" and len(calls) == 2 else 1)
arrived.set()
child = os.waitstatus_to_exitcode(os.wait()[1])
print(outcome if sys.argv[1] == "before" else "arrived" if child == 0 else "lost")
"""


@pytest.mark.parametrize("where", ["before", "in the child"])
def test_signal_during_a_fork_arrives_after_it(where: str) -> None:
    """The exception is raised when the fork is complete, and the child's hook has run to its end."""
    # Python 3.12 and later warn of a fork beside threads, and drop what a handler raises meanwhile.
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", FORKING, where]
    done = subprocess.run(command, cwd=ROOT, timeout=300, capture_output=True, text=True)
    assert done.stdout.strip() == "arrived", done.stderr
