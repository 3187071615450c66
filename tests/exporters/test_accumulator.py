"""The state of one fragment while its process works on it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from exporters.recording.calls import from_wire
from exporters.rollup.accumulator import Accumulator
from exporters.rollup.call import Call
from exporters.rollup.merge import merge
from exporters.rollup.snapshot import USAGE_SUMS, Usage, UsageKey
from telemetry._internal.run import Document
from telemetry.openai.attempts import Attempt
from telemetry.openai.call import OpenAICall
from telemetry.pricing.prices import Tokens, list_price
from telemetry.usage.reader import read_answer
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


def test_a_snapshot_does_not_change_afterwards() -> None:
    """Later events of the fragment leave it as it is."""
    fragment = Fragment().calls(call())
    before = fragment.snapshot()
    text = before.to_json()
    fragment.calls(call()).documents(visit())
    fragment.accumulator.error("ranking", "ValueError")

    assert before.to_json() == text


def test_calls_of_several_threads_are_all_counted() -> None:
    """They may end at the same time."""
    fragment = Fragment()
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: fragment.calls(call()), range(500)))
    (usage,) = fragment.close().usage.values()

    assert (usage.calls, usage.cost_pico, usage.input_tokens) == (500, 500 * 210_000_000, 500_000)


def test_calls_are_summed_by_what_decides_their_cost() -> None:
    """There are sums for every combination of stage, operation, model, tier and price version."""
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
def test_a_retry_is_of_the_kind_of_the_attempt_before_it(
    statuses: str, hits: int, rate_limit_retries: int, other_retries: int
) -> None:
    """A retry counts for what the attempt directly before it met; the last 429 of a call led to none."""
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
        (call(statuses=("connection_error", "200")), 0, 0),
        (call(statuses=("timeout", "200")), 1, 0),
        (call(statuses=("read_error", "200")), 1, 0),
        (call(statuses=("200", "200")), 1, 0),
        (call(tokens=Tokens(), pico=0), 0, 0),
    ],
)
def test_unknown_usage_and_prices_are_counted(made: Call, missing: int, unpriced: int) -> None:
    """Missing usage and missing prices are counted, never taken for zero; a refused call cost nothing."""
    usage = made.usage()

    assert (usage.usage_missing, usage.unpriced) == (missing, unpriced)


def test_spans_of_a_stage_that_overlap_count_their_time_once() -> None:
    """A stage's time is the time during which it was open, in however many spans."""
    accumulator = Accumulator(facts())
    for event, at in (("start", 0), ("start", 1), ("end", 2), ("end", 5), ("start", 10), ("end", 11)):
        change = accumulator.stage_started if event == "start" else accumulator.stage_ended
        change("ranking", START + at * SECOND)

    (usage,) = accumulator.snapshot(START + 20 * SECOND).usage.values()
    assert usage.duration_us == 6_000_000
    assert (usage.opened_at, usage.closed_at) == (START, START + 11 * SECOND)


def test_a_stage_under_way_counts_up_to_now() -> None:
    """A checkpoint holds the time a stage has taken so far."""
    accumulator = Accumulator(facts())
    accumulator.stage_started("ranking", START)

    assert accumulator.snapshot(START + SECOND).usage[UsageKey("ranking")].duration_us == 1_000_000
    assert accumulator.snapshot(START + 3 * SECOND).usage[UsageKey("ranking")].duration_us == 3_000_000


def test_a_clock_that_goes_back_makes_no_negative_duration() -> None:
    """No duration is ever negative."""
    accumulator = Accumulator(facts())
    accumulator.stage_started("ranking", START)
    accumulator.stage_ended("ranking", START - SECOND)

    assert accumulator.snapshot(START).usage[UsageKey("ranking")].duration_us == 0


def test_a_closed_fragment_takes_no_more_calls() -> None:
    """After the final snapshot a call is refused, so that it is counted elsewhere and not lost."""
    fragment = Fragment()
    fragment.accumulator.call_started()
    final = fragment.close()

    assert fragment.accumulator.call_ended(call()) is False
    assert (final.open_calls, final.usage) == (1, {})


def test_only_the_final_snapshot_holds_documents() -> None:
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
def test_the_outcome_of_a_document_follows_from_its_visits(visits: list[Document], outcome: str) -> None:
    """A real score decides; without one a failure does; a fallback is no score."""
    (document,) = documents_of(*visits)
    assert document.outcome == outcome


def test_a_fallback_does_not_replace_a_score() -> None:
    """A later visit that had to fall back leaves the score of an earlier one as it is."""
    (document,) = documents_of(visit(score=0.5), visit(score=0.0, fallback=True))

    assert (document.score, document.fallback) == (5000, False)


def test_extraction_and_analysis_of_a_document_are_timed_separately() -> None:
    """Times of several visits add up, those of extraction apart from those of analysis."""
    visits = [visit(extraction_ns=5_000_000), visit(analysis_ns=7_000_000), visit(analysis_ns=2_000_000)]
    (document,) = documents_of(*visits)

    assert (document.extraction_us, document.analysis_us) == (5_000, 9_000)


def test_documents_of_one_name_are_distinguished_by_size() -> None:
    """One name with two sizes is two documents; a visit without a size belongs to the first."""
    fragment = Fragment().documents(
        visit(size=1), visit(size=2), visit(characters=9), visit(size=2, chunks=4)
    )
    documents = [
        (document.size, document.characters, document.chunks) for document in fragment.close().documents or ()
    ]

    assert documents == [(1, 9, None), (2, None, 4)]


def test_documents_of_one_name_and_size_are_distinguished_by_their_rows() -> None:
    """Where the application passes the ids of their rows, two equal files of one name are two documents."""
    documents = documents_of(visit(size=1, row_id=7), visit(size=1, row_id=8), visit(size=1, row_id=7))

    assert [document.row_id for document in documents] == [7, 8]


def test_a_change_is_reported_until_the_next_snapshot() -> None:
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


# Any answer of the service


COUNTS = st.integers(-(10**20), 10**20) | st.none() | st.booleans() | st.floats() | st.text(max_size=3)
USAGES = st.fixed_dictionaries(
    {},
    optional={
        "prompt_tokens": COUNTS,
        "completion_tokens": COUNTS,
        "total_tokens": COUNTS,
        "prompt_tokens_details": st.dictionaries(
            st.sampled_from(["cached_tokens", "cache_write_tokens", "audio_tokens", "text_tokens", "new"]),
            COUNTS,
        ),
        "completion_tokens_details": st.dictionaries(st.sampled_from(["reasoning_tokens", "new"]), COUNTS),
        "new": COUNTS,
    },
)


@st.composite
def right_usages(draw: st.DrawFn) -> dict[str, Any]:
    """A usage in which nothing is odd, and nothing has a cost beyond its tokens."""
    prompt, completion = draw(st.integers(1, 10**6)), draw(st.integers(0, 10**6))
    cached = draw(st.integers(0, prompt))
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": cached, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": draw(st.integers(0, completion))},
    }


def answered(usage: dict[str, Any]) -> Call:
    """A call that was answered with `usage`."""
    seen = OpenAICall("chat", "api.openai.com", False, {})
    answer = {"model": "gpt-4o-mini", "service_tier": "default", "choices": [{"index": 0}], "usage": usage}
    seen.answer = read_answer(answer)
    seen.attempts = [Attempt(0, 1, "200")]
    return from_wire(seen, "ranking", list_price)


@given(st.lists(USAGES | right_usages(), min_size=1, max_size=6))
def test_no_answer_of_the_service_lowers_a_total(usages: list[dict[str, Any]]) -> None:
    """Sums only grow, the cost is never negative, and every column takes them."""
    fragment, before = Fragment(), Usage()
    for usage in usages:
        fragment.calls(answered(usage))
        total = merge([fragment.snapshot()]).total
        for name in USAGE_SUMS:
            assert getattr(before, name) <= getattr(total, name) < 2**63
        before = total
    assert before.calls == len(usages)


@given(st.lists(right_usages(), min_size=1, max_size=4), st.data())
def test_a_cost_is_complete_until_something_is_odd(usages: list[dict[str, Any]], data: st.DataObject) -> None:
    """Right answers cost exactly what the list says; any oddity makes the cost a lower bound."""
    right = Fragment().calls(*map(answered, usages)).close()
    assert merge([right]).cost_complete
    tokens = [usage["prompt_tokens"] * 150_000 + usage["completion_tokens"] * 600_000 for usage in usages]
    cached = [usage["prompt_tokens_details"]["cached_tokens"] * 75_000 for usage in usages]
    assert merge([right]).total.cost_pico == sum(tokens) - sum(cached)

    odd = usages[0]
    spoilt: dict[str, Any] = data.draw(
        st.sampled_from(
            [
                {"prompt_tokens": -1},
                {"completion_tokens": None},
                {"completion_tokens": odd["completion_tokens"] + 0.5},
                {"total_tokens": odd["total_tokens"] + 1},
                {"prompt_tokens": 10**19},
                {"prompt_tokens_details": {"cached_tokens": odd["prompt_tokens"] + 1}},
                {"prompt_tokens_details": {"audio_tokens": 1}},
                {"prompt_tokens_details": "none"},
                {"completion_tokens_details": {"reasoning_tokens": odd["completion_tokens"] + 1}},
                {"searches": 1},
            ]
        )
    )
    wrong = Fragment().calls(*map(answered, [odd | spoilt, *usages[1:]])).close()
    assert not merge([wrong]).cost_complete


@pytest.mark.parametrize(
    ("known", "unpriced", "unmodelled", "usage_missing"),
    [
        ({}, 0, 0, 0),
        ({"pico": None}, 1, 0, 0),
        ({"pico": None, "unmodelled": ("audio_tokens",)}, 1, 1, 0),
        ({"tokens": None, "unmodelled": ("web_search_call",)}, 0, 0, 1),
    ],
)
def test_calls_with_costs_beyond_tokens_count_as_unpriced(
    known: dict[str, Any], unpriced: int, unmodelled: int, usage_missing: int
) -> None:
    """Without tokens they count as usage missing instead, which says more."""
    (usage,) = Fragment().calls(call(**known)).close().usage.values()
    assert (usage.unpriced, usage.unmodelled, usage.usage_missing) == (unpriced, unmodelled, usage_missing)


def test_each_kind_of_429_is_counted() -> None:
    """Only a plain 429 is a rate limit, and only an attempt after one is a retry because of it."""
    statuses = ("429", "429_quota", "429_spend_limit", "429", "200")
    (usage,) = Fragment().calls(call(statuses=statuses)).close().usage.values()
    assert (usage.rate_limit_hits, usage.quota_hits, usage.spend_limit_hits) == (2, 1, 1)
    assert (usage.rate_limit_retries, usage.other_retries) == (2, 2)
