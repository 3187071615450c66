"""One process at a time holds the lease of the gauges."""

from __future__ import annotations

import itertools
import json
import multiprocessing
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from exporters.gauges.lease import CLOCK_SECONDS, LEASED_PERIODS, Lease, clock
from exporters.sql.database.engine import create_engine
from exporters.sql.schema import migrate
from tests.exporters.makers import Host
from tests.waiting import until

HOSTS = ("sqlite", "psycopg2", "psycopg", "pgbouncer")
# Locks are held differently by each, and by no session behind a pooler.
EVERY_HOST = True


NewLease = Callable[..., Lease]


@pytest.fixture
def new_lease() -> Iterator[NewLease]:
    """Makes the lease as one more process sees it, with connections of its own."""
    engines: list[Engine] = []

    def new(url: str, period: float = 600) -> Lease:
        engines.append(create_engine(url, for_reading=True))
        return Lease(engines[-1], "gauges", f"process {len(engines)}", period)

    yield new
    for engine in engines:
        engine.dispose()


@dataclass(frozen=True)
class Held:
    """A time in which a process held the lease, by the clock of all of them."""

    place: int
    begin: float
    end: float


def test_the_first_holds_it_until_it_gives_it_back(host: Host, new_lease: NewLease) -> None:
    """Others get it only then, and then at once; who has lost it renews nothing."""
    first, second = new_lease(host.url), new_lease(host.url)
    assert first.renew() and not second.renew() and first.renew()
    assert (first.is_held, second.is_held) == (True, False)
    first.release()
    assert second.renew() and not first.renew()
    assert (first.is_held, second.is_held) == (False, True)
    first.release()  # is none of its business any more
    assert second.renew()


def test_a_dead_holder_is_followed_within_its_lease(host: Host, new_lease: NewLease) -> None:
    """It neither renews nor releases; the next process begins after the last moment of the first."""
    period = 1.0
    dead, next_one = new_lease(host.url, period), new_lease(host.url, period)
    began = time.monotonic()
    assert dead.renew()
    until(next_one.renew)
    waited = time.monotonic() - began
    assert not dead.is_held and next_one.is_held
    assert waited >= LEASED_PERIODS * period


def test_the_holder_stops_before_another_may_begin(host: Host, new_lease: NewLease) -> None:
    """A process that was stopped for longer than its lease exports nothing when it goes on."""
    stopped = new_lease(host.url, 2)
    assert stopped.renew() and stopped.is_held
    time.sleep(LEASED_PERIODS * 2)
    assert not stopped.is_held
    (row,) = host.rows("telemetry_found", name="gauges")
    assert json.loads(row["figures"])["seconds"] == LEASED_PERIODS * 2 + CLOCK_SECONDS


def test_never_two_hold_it(host: Host, new_lease: NewLease) -> None:
    """Several processes renew, release and stop for a while: their times of holding do not overlap."""
    contenders = [new_lease(host.url, period=0.2) for _ in range(4)]
    end, held, released = time.monotonic() + 6, list[Held](), list[tuple[int, float]]()

    def contend(place: int) -> None:
        lease, turns = contenders[place], 0
        while time.monotonic() < end:
            with suppress(SQLAlchemyError):  # the database is busy
                if lease.renew():
                    held.append(Held(place, clock(), lease._held_until))
                    turns += 1
                    if turns % 5 == 0:
                        released.append((place, clock()))
                        lease.release()
                    elif turns % 7 == 0:
                        time.sleep(2 * (LEASED_PERIODS * 0.2 + CLOCK_SECONDS))  # as if stopped
            time.sleep(0.01 * (place + 1))

    threads = [threading.Thread(target=contend, args=(place,)) for place in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({one.place for one in held}) > 1
    for one, other in itertools.permutations(held, 2):
        if one.place != other.place and one.begin <= other.begin:
            ends = [at for place, at in released if place == one.place and at >= one.begin]
            assert min([one.end, *ends]) <= other.begin, (one, other)


def test_processes_with_other_periods_honour_the_lease(host: Host, new_lease: NewLease) -> None:
    """The holder notes for how long it has taken the lease: settings may differ during a deployment."""
    slow, hasty = new_lease(host.url, 600), new_lease(host.url, 0.01)
    assert slow.renew()
    time.sleep(1.5)
    assert not hasty.renew() and slow.is_held


def test_a_note_that_cannot_be_read_is_replaced_in_time(host: Host, new_lease: NewLease) -> None:
    """A later version may note something else."""
    host.execute("INSERT INTO telemetry_found (name, figures, asked_at) VALUES ('gauges', '[1]', NULL)")
    assert new_lease(host.url).renew()


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
@pytest.mark.parametrize("host", ["sqlite"], indirect=True)
def test_a_forked_child_has_no_lease(host: Host, new_lease: NewLease, tmp_path: Path) -> None:
    """Its holder is another one; the parent's goes on."""
    parent = new_lease(host.url)
    assert parent.renew()
    child = multiprocessing.get_context("fork").Process(target=_take, args=(host.url, tmp_path / "taken"))
    child.start()
    child.join(60)
    assert (tmp_path / "taken").read_text() == "False"
    assert parent.renew()


def _take(url: str, path: Path) -> None:
    path.write_text(str(Lease(create_engine(url, for_reading=True), "gauges", "child", 600).renew()))


def test_tenants_have_a_lease_each(postgres_host: Host, new_lease: NewLease) -> None:
    """The tables decide, not the server: two schemas of one database have one exporter each."""
    urls = []
    for name in ("a", "b"):
        postgres_host.execute(f"CREATE SCHEMA tenant_{name}")
        urls.append(f"{postgres_host.url}?options=-csearch_path%3Dtenant_{name}")
        migrate.upgrade(urls[-1], with_base_tables=True)
    ours, theirs = map(new_lease, urls)
    assert ours.renew() and theirs.renew() and ours.is_held and theirs.is_held


@pytest.mark.parametrize("host", ["sqlite"], indirect=True)
def test_looking_does_not_lock_the_host_out(host: Host, new_lease: NewLease) -> None:
    """A process that does not hold the lease writes nothing, so it waits for no writer of the host."""
    holder, other = new_lease(host.url), new_lease(host.url)
    assert holder.renew()
    with host.holding("UPDATE telemetry_found SET name = name"):
        assert not other.renew()  # it would raise that the database is locked
