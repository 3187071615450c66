"""The state of one fragment while its process works on it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from exporters.accumulator import Accumulator, Call
from exporters.snapshot import UsageKey
from telemetry._context import Document
from telemetry.pricing import Tokens
from tests.exporters.makers import (
    SECOND,
    START,
    Fragment,
    call,
    documents_of,
    facts,
    failed_call,
    visit,
)


def test_every_snapshot_is_newer_than_the_last() -> None:
    """`seq` grows with every snapshot, whoever takes it."""
    accumulator = Accumulator(facts())
    with ThreadPoolExecutor(4) as pool:
        taken = list(pool.map(lambda _: accumulator.snapshot(START), range(200)))

    assert sorted(snapshot.seq for snapshot in taken) == list(range(1, 201))


def test_a_snapshot_stands_still() -> None:
    """What happens after a snapshot was taken does not change it."""
    fragment = Fragment().calls(call())
    before = fragment.snapshot()
    text = before.to_json()
    fragment.calls(call()).documents(visit())
    fragment.accumulator.error("ranking", "ValueError")

    assert before.to_json() == text


def test_threads_lose_nothing() -> None:
    """Calls that end at the same time in several threads are all counted."""
    fragment = Fragment()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: fragment.calls(call()), range(500)))
    (usage,) = fragment.close().usage.values()

    assert (usage.calls, usage.cost_pico, usage.input_tokens) == (500, 500 * 210_000_000, 500_000)


def test_calls_are_told_apart_by_what_they_cost() -> None:
    """Stage, operation, model, tier and price version each have sums of their own."""
    made = [call(), call("insights"), call(model="o3"), call(tier="flex"), call(pico=None)]
    usage = Fragment().calls(*made, *made).close().usage

    assert set(usage) == {
        UsageKey("ranking", "chat", "gpt-4o-mini", "default", "1"),
        UsageKey("insights", "chat", "gpt-4o-mini", "default", "1"),
        UsageKey("ranking", "chat", "o3", "default", "1"),
        UsageKey("ranking", "chat", "gpt-4o-mini", "flex", "1"),
        UsageKey("ranking", "chat", "gpt-4o-mini", "default", ""),
    }
    assert {sums.calls for sums in usage.values()} == {2}


@pytest.mark.parametrize(
    ("statuses", "hits", "rate_limit_retries", "other_retries"),
    [
        ("", 0, 0, 0),
        ("200", 0, 0, 0),
        ("429", 1, 0, 0),
        ("429 200", 1, 1, 0),
        ("429 429 200", 2, 2, 0),
        ("429 500 200", 1, 1, 1),
        ("500 429 200", 1, 1, 1),
        ("timeout connection_error 200", 0, 0, 2),
        ("429 429 429", 3, 2, 0),
    ],
)
def test_retries(statuses: str, hits: int, rate_limit_retries: int, other_retries: int) -> None:
    """A retry is of the kind of the attempt directly before it; the last 429 of a call led to none."""
    attempts = tuple(statuses.split())
    usage = call(statuses=attempts).usage()

    assert usage.attempts == len(attempts)
    assert usage.rate_limit_hits == hits
    assert (usage.rate_limit_retries, usage.other_retries) == (rate_limit_retries, other_retries)


@pytest.mark.parametrize(
    ("made", "missing", "unpriced"),
    [
        (call(), 0, 0),
        (call(tokens=None), 1, 0),
        (call(pico=None), 0, 1),
        (failed_call("ranking", "500", "500"), 0, 0),
        (failed_call("ranking", "cancelled"), 1, 0),
        (failed_call("ranking", "connection_error"), 0, 0),
        (call(tokens=Tokens(), pico=0), 0, 0),
    ],
)
def test_what_is_not_known_is_counted(made: Call, missing: int, unpriced: int) -> None:
    """Missing usage and missing prices are counted, never taken for zero; a refused call cost nothing."""
    usage = made.usage()

    assert (usage.usage_missing, usage.unpriced) == (missing, unpriced)


def test_stages_side_by_side_do_not_add_up() -> None:
    """A stage's time is the time during which it was open, however many spans of it were."""
    accumulator = Accumulator(facts())
    for event, at in (("start", 0), ("start", 1), ("end", 2), ("end", 5), ("start", 10), ("end", 11)):
        change = accumulator.stage_started if event == "start" else accumulator.stage_ended
        change("ranking", START + at * SECOND)

    (usage,) = accumulator.snapshot(START + 20 * SECOND).usage.values()
    assert usage.duration_us == 6_000_000


def test_a_stage_under_way_counts_up_to_now() -> None:
    """A checkpoint holds the time a stage has taken so far."""
    accumulator = Accumulator(facts())
    accumulator.stage_started("ranking", START)

    assert accumulator.snapshot(START + SECOND).usage[UsageKey("ranking")].duration_us == 1_000_000
    assert accumulator.snapshot(START + 3 * SECOND).usage[UsageKey("ranking")].duration_us == 3_000_000


def test_a_clock_that_goes_back_takes_no_time() -> None:
    """No duration is ever negative."""
    accumulator = Accumulator(facts())
    accumulator.stage_started("ranking", START)
    accumulator.stage_ended("ranking", START - SECOND)

    assert accumulator.snapshot(START).usage[UsageKey("ranking")].duration_us == 0


def test_a_closed_fragment_takes_no_more_calls() -> None:
    """After the final state a call is refused, so that it is counted elsewhere and not lost."""
    fragment = Fragment()
    fragment.accumulator.call_started()
    final = fragment.close()

    assert fragment.accumulator.call_ended(call()) is False
    assert (final.open_calls, final.usage) == (1, {})


def test_documents_come_with_the_close_only() -> None:
    """A checkpoint is small: it holds no documents."""
    fragment = Fragment().documents(visit())

    assert fragment.snapshot().documents is None
    assert len(fragment.close().documents or ()) == 1


@pytest.mark.parametrize(
    ("visits", "outcome"),
    [
        ([visit()], "unscored"),
        ([visit(score=0.5)], "scored"),
        ([visit(), visit(score=0.5)], "scored"),
        ([visit(error_type="ValueError")], "failed"),
        ([visit(error_type="ValueError"), visit(score=0.5)], "scored"),
        ([visit(score=0.5), visit(error_type="ValueError")], "scored"),
        ([visit(score=0.0, fallback=True)], "failed"),
        ([visit(outcome="duplicate")], "duplicate"),
        ([visit(outcome="duplicate"), visit()], "duplicate"),
        ([visit(score=0.5), visit(score=0.0, fallback=True)], "scored"),
        ([visit(score=0.0, fallback=True), visit(score=0.5)], "scored"),
    ],
)
def test_outcome_of_a_document(visits: list[Document], outcome: str) -> None:
    """A real score stands; without one a failure does; a fallback is no score."""
    (found,) = documents_of(*visits)
    assert found.outcome == outcome


def test_a_fallback_does_not_replace_a_score() -> None:
    """A later visit that had to fall back leaves the score of an earlier one as it is."""
    (found,) = documents_of(visit(score=0.5), visit(score=0.0, fallback=True))

    assert (found.score, found.fallback) == (5000, False)


def test_times_of_a_document_add_up_by_kind() -> None:
    """What was spent in extraction and what was spent afterwards are kept apart."""
    visits = [visit(extraction_ns=5_000_000), visit(analysis_ns=7_000_000), visit(analysis_ns=2_000_000)]
    (found,) = documents_of(*visits)

    assert (found.extraction_us, found.analysis_us) == (5_000, 9_000)


def test_namesakes_are_told_apart_by_size() -> None:
    """One name with two sizes is two documents; a visit that knows no size is of the first."""
    fragment = Fragment().documents(
        visit(size=1), visit(size=2), visit(characters=9), visit(size=2, chunks=4)
    )
    found = [(each.size, each.characters, each.chunks) for each in fragment.close().documents or ()]

    assert found == [(1, 9, None), (2, None, 4)]


def test_namesakes_of_one_size_are_told_apart_by_their_rows() -> None:
    """Where the application tells the ids of their rows, two equal files of one name are two documents."""
    found = documents_of(visit(size=1, row_id=7), visit(size=1, row_id=8), visit(size=1, row_id=7))

    assert [each.row_id for each in found] == [7, 8]


def test_changes_are_noticed_once() -> None:
    """A fragment has something to save after each event, and nothing after a snapshot."""
    fragment = Fragment()
    accumulator = fragment.accumulator
    changes: list[Callable[[], object]] = [
        accumulator.call_started,
        lambda: accumulator.call_ended(call()),
        lambda: accumulator.count("app_retries", 1),
        lambda: accumulator.error("ranking", "ValueError"),
        lambda: accumulator.stage_started("ranking", START),
        lambda: accumulator.stage_ended("ranking", START),
        lambda: accumulator.update(analysis_id=5),
        lambda: fragment.documents(visit()),
    ]
    fragment.snapshot()
    for change in changes:
        assert not accumulator.has_changed
        change()
        assert accumulator.has_changed
        fragment.snapshot()
