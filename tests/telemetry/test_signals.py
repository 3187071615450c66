"""What the application's signal handlers raise arrives, wherever the signal lands in telemetry."""

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
    """What a time limit of the application's raises."""


def raise_limit(*_: object) -> None:
    raise Limit


class Handlers:
    """Handlers of every shape."""

    def method(self, number: int, frame: FrameType | None) -> None:
        raise Limit

    def __call__(self, number: int, frame: FrameType | None) -> None:
        raise_limit()


def forgetful(number: int, frame: FrameType | None) -> None:
    """A handler that lets go of its arguments."""
    del frame
    raise Limit


def once(number: int, frame: FrameType | None) -> None:
    """A handler that is not the handler any more when its exception is looked at."""
    signal.signal(number, signal.SIG_DFL)
    raise Limit


def with_more(text: str, number: int, frame: FrameType | None) -> None:
    raise Limit


@functools.lru_cache(None)
def cached(number: int, frame: FrameType | None) -> None:
    raise Limit


HANDLERS: dict[str, Callable[[int, FrameType | None], Any]] = {
    "function": raise_limit,
    "method": Handlers().method,
    "object": Handlers(),
    "partial": functools.partial(with_more, "text"),
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
    """Swallow errors of ours, as outside of tests."""
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
def test_every_shape_of_handler(handler: Callable[[int, FrameType | None], Any]) -> None:
    signal.signal(signal.SIGUSR1, handler)
    with pytest.raises(Limit):
        signalled()
    assert internal_errors() == {}


@pytest.mark.usefixtures("swallowing")
@pytest.mark.parametrize("act", [signalled_and_renamed, signalled_and_lost])
def test_what_a_library_makes_of_it(act: Callable[[], None]) -> None:
    with pytest.raises(Limit):
        act()
    assert internal_errors() == {}


@pytest.mark.usefixtures("swallowing")
def test_in_a_block() -> None:
    with pytest.raises(Limit), guarded("spool"):
        signal.raise_signal(signal.SIGUSR1)
    assert internal_errors() == {}


@pytest.mark.usefixtures("swallowing")
@pytest.mark.internal_errors
def test_our_own_errors_while_the_application_handles_its_limit() -> None:
    """The limit is the context of our error, and not its reason."""

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
def test_our_own_errors_in_another_thread() -> None:
    @guarded("api")
    def fail(number: int, frame: FrameType | None) -> None:
        raise ValueError

    thread = threading.Thread(target=lambda: fail(1, sys._getframe()))
    thread.start()
    thread.join()
    assert internal_errors() == {"api": 1}


Place = tuple[CodeType, int]


class Interruption:
    """Has a signal come at a place in our code where none came before.

    The interpreter looks for signals where a function begins, where a loop jumps back, and after a call.
    """

    def __init__(self, tried: set[Place]) -> None:
        self._tried = tried
        self._before: dict[FrameType, int] = {}
        self.place = ""

    def __enter__(self) -> None:
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
            if before is not None and _is_looked_for(code, before, at) and (code, before) not in self._tried:
                self._tried.add((code, before))
                self.place = f"{Path(code.co_filename).name}:{frame.f_lineno} ({code.co_qualname})"
                sys.settrace(None)
                signal.raise_signal(signal.SIGUSR1)
        return self._step


def _is_looked_for(code: CodeType, at: int, after: int) -> bool:
    """Say whether signals are looked for at an instruction.

    The tracer can raise only at the one after it: not where that has another handler of exceptions.
    """
    name = dis.opname[code.co_code[at]]
    return name.startswith(("CALL", "JUMP_BACKWARD", "RESUME")) and _handler(code, at) == _handler(
        code, after
    )


def _handler(code: CodeType, at: int) -> int | None:
    entries = dis._parse_exception_table(code)  # type: ignore[attr-defined]
    return next((entry.target for entry in entries if entry.start <= at < entry.end), None)


class Work:
    """A run with a call, as an application does it."""

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
def test_a_signal_at_every_place(tmp_path: Path) -> None:
    """It arrives; nothing stays locked; a call is counted once, or is said to be unfinished."""
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
                with interruption:  # it may come before a block is left
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
def test_a_block_that_is_not_entered(
    block: Callable[[str], AbstractContextManager[object]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was current before is current again."""
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


@pytest.mark.parametrize("version", pythons())
def test_while_streams_are_let_go_of(
    version: str, service: StandIn, migrated_sqlite: Path, tmp_path: Path
) -> None:
    """Nothing of telemetry's, nor of what it instruments, runs where the interpreter drops exceptions."""
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
        came.wait()


calls, held, came = [], threading.Event(), threading.Event()
signal.signal(signal.SIGALRM, raise_limit)
signal.signal(signal.SIGUSR1, raise_limit)
if sys.argv[1] != "before":
    register_in_child(interrupted)
else:
    threading.Thread(target=hold, daemon=True).start()
    held.wait()
    signal.setitimer(signal.ITIMER_REAL, 0.1)
parent, found = os.getpid(), "lost"
try:
    os.fork()
    os.getpid()  # signals are looked for after a call
except Limit:
    found = "came"
if os.getpid() != parent:
    os._exit(0 if found == "came" and len(calls) == 2 else 1)
came.set()
child = os.waitstatus_to_exitcode(os.wait()[1])
print(found if sys.argv[1] == "before" else "came" if child == 0 else "lost")
"""


@pytest.mark.parametrize("where", ["before", "in the child"])
def test_in_a_fork(where: str) -> None:
    """A hook is interrupted; the exception comes when the fork is over, and the child's hook is done."""
    done = subprocess.run(
        [sys.executable, "-c", FORKING, where], cwd=ROOT, timeout=60, capture_output=True, text=True
    )
    assert done.stdout.strip() == "came", done.stderr
