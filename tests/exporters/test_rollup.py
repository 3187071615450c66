"""The rollup of a run does not depend on how its work was divided or in which order snapshots arrived."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from decimal import Decimal
from statistics import median
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from exporters.rollup import status as rules
from exporters.rollup.call import Call
from exporters.rollup.merge import Rollup, Scores, merge, newest
from exporters.rollup.snapshot import SCHEMA_VERSION, USAGE_SUMS, NewerSnapshot, Snapshot, Usage, UsageKey
from exporters.spool.entry import parse_entry
from exporters.spool.warning_event import WarningEvent
from telemetry._internal.run import Document, Warned
from telemetry.pricing.prices import Price, Tokens, to_dollars
from tests.choice import examples
from tests.exporters.makers import SECOND, START, Fragment, call, facts, failed_call, visit

RUN = "a" * 32

names = st.sampled_from(["ranking", "embedding", "insights"])
counts = st.integers(0, 10**6)


@st.composite
def calls(draw: st.DrawFn) -> Call:
    tokens = draw(st.none() | st.builds(Tokens, counts, counts, counts, counts, counts))
    price = draw(st.none() | st.builds(Price, st.integers(0, 10**13), st.just("list"), st.just("1")))
    return Call(
        stage=draw(names),
        operation=draw(st.sampled_from(["chat", "embeddings"])),
        model=draw(st.sampled_from(["gpt-4o-mini", "text-embedding-3-small"])),
        service_tier=draw(st.sampled_from(["", "flex"])),
        ok=draw(st.booleans()),
        duration_us=draw(counts),
        statuses=tuple(draw(st.lists(st.sampled_from(["200", "429", "500", "timeout"]), max_size=4))),
        backoff_us=draw(counts),
        retry_after_us=draw(counts),
        tokens=tokens,
        price=price if tokens else None,
    )


@st.composite
def documents(draw: st.DrawFn) -> list[Document]:
    """Documents, visited a few times each; visits have different values, and none contradicts another."""
    visits: list[Document] = []
    for number in range(draw(st.integers(0, 6))):
        key, size = f"cv {draw(st.integers(0, 3))}", number + 1
        first = visit(key, size=size, characters=draw(st.none() | counts))
        last = visit(key, size=size, score=draw(st.none() | st.floats(0, 1)))
        last.fallback = draw(st.booleans()) if last.score is not None else False
        first.error_type = draw(st.none() | st.just("ValueError"))
        first.extraction_ns, last.analysis_ns = draw(counts) * 1000, draw(counts) * 1000
        visits += [first, last]
    return visits


@dataclass(frozen=True)
class Work:
    """What happens in one run."""

    calls: list[Call]
    errors: list[tuple[str, str]]
    counters: list[tuple[str, int]]
    documents: list[Document]


works = st.builds(
    Work,
    calls=st.lists(calls(), max_size=8),
    errors=st.lists(st.tuples(names, st.sampled_from(["ValueError", "KeyError"])), max_size=5),
    counters=st.lists(st.tuples(st.sampled_from(["app_retries", "json_fallbacks"]), counts), max_size=5),
    documents=documents(),
)


def divide(work: Work, parts: int, run_id: str = RUN) -> list[Fragment]:
    """Return the fragments of a run whose work is divided among this many processes."""
    fragments = [Fragment(run_id, fragment_id=f"{part:032x}", is_root=part == 0) for part in range(parts)]
    for position, fragment in enumerate(fragments):
        fragment.calls(*work.calls[position::parts])
        fragment.documents(*work.documents[position::parts])
        for stage, error_type in work.errors[position::parts]:
            fragment.accumulator.error(stage, error_type)
        for name, amount in work.counters[position::parts]:
            fragment.accumulator.count(name, amount)
    return fragments


def closed(fragments: Sequence[Fragment]) -> list[Snapshot]:
    return [fragment.close(ends_run=position == 0) for position, fragment in enumerate(fragments)]


def figures(rollup: Rollup) -> dict[str, Any]:
    """Return the figures of a rollup that do not depend on its fragments."""
    return {
        name: getattr(rollup, name)
        for name in Rollup.__dataclass_fields__
        if name not in ("root", "started_at", "ended_at", "duration_us")
    }


@given(work=works, parts=st.integers(2, 4))
def test_work_may_be_divided_among_processes(work: Work, parts: int) -> None:
    """A run has the same rollup in one process as in several."""
    alone = merge(closed(divide(work, 1)))
    together = merge(closed(divide(work, parts)))

    assert figures(together) == figures(alone)


@given(work=works, parts=st.integers(1, 3), data=st.data())
def test_order_and_repetition_do_not_matter(work: Work, parts: int, data: st.DataObject) -> None:
    """Snapshots may arrive in any order and any number of times: the newest of a fragment counts."""
    fragments = divide(work, parts)
    older = [fragment.snapshot() for fragment in fragments]
    last = closed(fragments)
    arriving = data.draw(
        st.permutations([*older, *last, *data.draw(st.lists(st.sampled_from(older + last)))])
    )

    assert merge(arriving) == merge(last)


@given(work=works)
def test_only_the_newest_snapshot_counts(work: Work) -> None:
    """An older one that arrives later changes nothing."""
    (fragment,) = divide(work, 1)
    old, new = fragment.snapshot(), fragment.calls(call()).snapshot()

    assert new.seq > old.seq
    assert newest([new, old]) == newest([old, new]) == [new]


@given(work=works, parts=st.integers(1, 3))
def test_stages_sum_to_the_run(work: Work, parts: int) -> None:
    """All sums of a run are those of its stages, and of its calls."""
    rollup = merge(closed(divide(work, parts)))
    of_stages = [usage for key, usage in rollup.usage.items() if key.operation]

    for name in USAGE_SUMS:
        total = getattr(rollup.total, name)
        assert total == sum(getattr(usage, name) for usage in of_stages)
        assert total == sum(getattr(call.usage(), name) for call in work.calls)


@given(work=works, parts=st.integers(1, 3))
def test_bands_add_up_to_scored(work: Work, parts: int) -> None:
    """A scored document is in exactly one band, and every document has exactly one outcome."""
    rollup = merge(closed(divide(work, parts)))
    scores = rollup.scores

    assert scores.above_70 + scores.from_50_to_70 + scores.below_50 == scores.count
    unscored = sum(document.outcome == "unscored" for document in rollup.documents)
    assert scores.count + rollup.failed_documents + rollup.duplicates + unscored == len(rollup.documents)


@given(st.lists(st.integers(0, 10**13), max_size=30))
def test_pico_sums_equal_decimal_sums(prices: list[int]) -> None:
    """Adding pico-dollars gives the same as adding exact dollars."""
    fragment = Fragment().calls(*(call(pico=pico) for pico in prices))

    assert to_dollars(merge([fragment.close()]).total.cost_pico) == sum(map(to_dollars, prices), Decimal(0))


@given(work=works, parts=st.integers(1, 2))
def test_json_keeps_everything(work: Work, parts: int) -> None:
    """A snapshot that is written and read again is equal."""
    fragments = divide(work, parts)
    for snapshot in [*(fragment.snapshot() for fragment in fragments), *closed(fragments)]:
        assert Snapshot.from_json(snapshot.to_json()) == snapshot


@pytest.mark.parametrize(("value", "stored"), [(Decimal(5), 5), (object(), None)])
def test_values_that_json_lacks_do_not_lose_the_snapshot(value: Any, stored: int | None) -> None:
    """They become a number or null; the rest of the snapshot or warning event is kept."""
    final = Fragment(candidates=value).calls(call()).documents(visit("a", size=value)).close()
    reread = Snapshot.from_json(final.to_json())
    event = parse_entry(WarningEvent("e" * 32, START, Warned(type="other", document_count=value)).to_json())

    assert (reread.candidates, [document.size for document in reread.documents or ()]) == (stored, [stored])
    assert reread.usage == final.usage
    assert isinstance(event, WarningEvent)
    assert (event.warned.type, event.warned.document_count) == ("other", stored)


def test_json_of_a_newer_version_is_refused() -> None:
    """The error distinguishes it from text that is broken."""
    text = facts().to_json()

    with pytest.raises(NewerSnapshot):
        Snapshot.from_json(text.replace(f'"schema":{SCHEMA_VERSION}', '"schema":99'))


def test_snapshots_from_before_the_kinds_of_429_are_read() -> None:
    """The counts that they lack are 0: their usage ends with the source of the price."""
    snapshot = Fragment().calls(call(statuses=("429", "200"))).close()
    state = json.loads(snapshot.to_json())
    state |= {"schema": 2, "usage": [row[:-3] for row in state["usage"]]}

    assert Snapshot.from_json(json.dumps(state)) == snapshot


@pytest.mark.parametrize(
    "text", ["", "{", "[]", "{}", '{"schema":1}', '{"schema":"x"}', '{"schema":1,"a":2}']
)
def test_json_that_is_no_snapshot_is_refused(text: str) -> None:
    """Truncated or foreign text raises ValueError, but not NewerSnapshot."""
    with pytest.raises(ValueError) as caught:
        Snapshot.from_json(text)
    assert not isinstance(caught.value, NewerSnapshot)


@given(st.lists(st.integers(0, 10_000), min_size=1))
def test_scores_are_rounded_half_even(scores: list[int]) -> None:
    """Average and median agree with exact fractions, rounded half-even to ten-thousandths."""
    distribution = Scores.of(scores)

    assert distribution.average == round(Decimal(sum(scores)) / len(scores))
    assert distribution.median == round(median(map(Decimal, scores)))
    assert (distribution.minimum, distribution.maximum, distribution.count) == (
        min(scores),
        max(scores),
        len(scores),
    )


def test_halves_go_to_the_even_neighbour() -> None:
    """0.00005 is rounded to 0.0000, 0.00015 to 0.0002: not always up."""
    assert (Scores.of([0, 1]).average, Scores.of([1, 2]).average) == (0, 2)
    assert (Scores.of([0, 1]).median, Scores.of([1, 2]).median) == (0, 2)


def test_bands_begin_at_70_and_50_percent() -> None:
    """70 % is above, 69.99 % is not; 50 % is in the middle, 49.99 % is below."""
    distribution = Scores.of([10_000, 7_000, 6_999, 5_000, 4_999, 0])

    assert (distribution.above_70, distribution.from_50_to_70, distribution.below_50) == (2, 2, 2)


def test_no_scores_have_no_average() -> None:
    """Average and bounds are None, not 0."""
    assert Scores.of([]) == Scores(0, None, None, None, None, 0, 0, 0)


def scored(number: int = 1) -> list[Document]:
    return [visit(f"scored {position}", score=0.8) for position in range(number)]


def broken(number: int = 1) -> list[Document]:
    return [visit(f"broken {position}", error_type="ValueError") for position in range(number)]


@pytest.mark.parametrize(
    ("stated", "visits", "made", "status"),
    [
        ("completed", scored(2), [call()], "completed"),
        ("completed", [*scored(), visit("copy", outcome="duplicate")], [call()], "completed"),
        ("completed", [*scored(), *broken()], [call()], "partial_failure"),
        ("completed", broken(2), [call()], "failed"),
        ("completed", [*broken(), visit("copy", outcome="duplicate")], [call()], "failed"),
        ("completed", [], [], "failed"),
        ("failed", scored(2), [call()], "failed"),
        ("cancelled", scored(2), [call()], "cancelled"),
        ("interrupted", scored(2), [call()], "interrupted"),
        ("completed", scored(2), [failed_call(), failed_call()], "partial_failure"),
        ("completed", [visit()], [failed_call()], "failed"),
        ("completed", scored(2), [failed_call(), call()], "completed"),
        ("completed", scored(2), [failed_call("insights"), call()], "partial_failure"),
        ("completed", [visit(score=0.0, fallback=True)], [call()], "failed"),
        ("completed", [*scored(), visit(score=0.0, fallback=True)], [call()], "partial_failure"),
    ],
    ids=[
        "all scored",
        "a duplicate is no failure",
        "one failed, one scored",
        "all failed",
        "all but a duplicate failed",
        "none submitted",
        "stated as failed",
        "cancelled",
        "interrupted",
        "a stage without an answer",
        "a stage without an answer and no score",
        "a stage with one answer",
        "one of two stages without an answer",
        "a fallback is no score",
        "one fallback, one score",
    ],
)
def test_documents_and_calls_decide_the_status(
    stated: str, visits: list[Document], made: list[Call], status: str
) -> None:
    """The status that the host states holds unless documents or calls contradict it."""
    assert merge([Fragment().calls(*made).documents(*visits).close(stated)]).status == status


ALL_FAILED = "no call of stage ranking was answered"
NO_INPUT = "nothing was handed in: no candidates, no documents, no calls"


@pytest.mark.parametrize(
    ("kind", "candidates", "made", "status", "reason"),
    [
        ("analysis", None, [call()], "completed", ""),
        ("analysis", None, [failed_call(), call()], "completed", ""),
        ("analysis", None, [failed_call(), failed_call()], "failed", ALL_FAILED),
        ("analysis", None, [call("insights"), failed_call()], "partial_failure", ALL_FAILED),
        ("analysis", None, [], "failed", NO_INPUT),
        ("analysis", 3, [], "completed", ""),
        ("analysis", 3, [call()], "completed", ""),
        ("analysis", 3, [failed_call()], "failed", ALL_FAILED),
        ("analysis", 0, [], "failed", "no candidates were handed in"),
        ("analysis", 0, [call()], "failed", "no candidates were handed in"),
        ("intake", None, [], "completed", ""),
        ("intake", None, [call()], "completed", ""),
        ("intake", None, [failed_call()], "failed", ALL_FAILED),
        ("late", None, [], "completed", ""),
        ("late", None, [failed_call()], "failed", ALL_FAILED),
        ("orphan", None, [call()], "completed", ""),
    ],
)
@pytest.mark.parametrize("parts", [1, 2])
def test_calls_decide_the_status_without_documents(
    kind: str, candidates: int | None, made: list[Call], status: str, reason: str, parts: int
) -> None:
    """It does not matter how many processes made them."""
    known = {"kind": kind, "candidates": candidates}
    fragments = [Fragment(RUN, is_root=part == 0, **known) for part in range(parts)]
    for position, one_call in enumerate(made):
        fragments[position % parts].calls(one_call)
    rollup = merge(closed(fragments))

    assert (rollup.status, rollup.status_reason) == (status, reason)


@pytest.mark.parametrize(
    ("stated", "visits", "made", "reason"),
    [
        ("failed", scored(), [call()], "the application said so"),
        ("interrupted", scored(), [call()], rules.LEFT),
        ("cancelled", scored(), [call()], ""),
        ("completed", broken(2), [call()], "no document was scored: each failed, or has a fallback score"),
        ("completed", [*scored(), *broken()], [call()], "some documents failed, or have a fallback score"),
        ("completed", scored(), [failed_call()], ALL_FAILED),
        ("completed", [*scored(), *broken()], [failed_call()], ALL_FAILED),
        ("completed", [visit()], [], ""),
        ("completed", scored(), [], ""),
    ],
)
def test_a_status_that_is_no_success_has_a_reason(
    stated: str, visits: list[Document], made: list[Call], reason: str
) -> None:
    """A success, or a run that was cancelled, has none."""
    rollup = merge([Fragment().calls(*made).documents(*visits).close(stated)])

    assert rollup.status_reason == reason


@given(work=works, parts=st.integers(1, 3), stated=st.sampled_from(["completed", "failed", "interrupted"]))
def test_only_a_status_that_is_no_success_has_a_reason(work: Work, parts: int, stated: str) -> None:
    """Every reason fits its column."""
    fragments = divide(work, parts)
    rollup = merge([fragment.close(stated, ends_run=True) for fragment in fragments])

    assert (rollup.status == "completed") == (not rollup.status_reason)
    assert len(rollup.status_reason) <= 128


def test_a_stated_failure_outlives_the_process() -> None:
    """A run that the application marked as failed has failed, even if its process died afterwards."""
    fragment = Fragment().calls(call())
    fragment.accumulator.update(status="failed")
    dead = merge([fragment.snapshot(interrupted=True)])

    assert (dead.status, dead.status_reason) == ("failed", "the application said so")
    assert not dead.cost_complete
    assert merge([fragment.snapshot()]).status == "running"


def test_a_run_with_shed_documents_has_not_failed() -> None:
    """An analysis whose list of documents was shed at the spool's limit did have documents."""
    final = Fragment().calls(call()).documents(*scored(2)).close()
    shed = replace(final, documents=[], shed=2)

    assert (merge([shed]).status, merge([shed]).shed) == ("completed", 2)


VISITS = [
    visit(),
    visit(score=0.8),
    visit(score=0.8, size=5),
    visit(score=0.0, fallback=True),
    visit(fallback=True),
    visit(fallback=True, error_type="RateLimitError"),
    visit(error_type="ValueError"),
]


@given(visits=st.lists(st.sampled_from(VISITS), min_size=1, max_size=5), data=st.data())
def test_marks_of_fallbacks_do_not_depend_on_order(visits: list[Document], data: st.DataObject) -> None:
    """A fallback in one visit counts for the document, whatever the order and the processes."""

    def outcome(visits: list[Document], parts: int) -> tuple[Any, ...]:
        fragments = [Fragment(RUN, is_root=part == 0) for part in range(parts)]
        for position, one_visit in enumerate(visits):
            fragments[position % parts].documents(one_visit)
        rollup = merge(closed(fragments))
        (document,) = rollup.documents
        return document.outcome, document.has_fallback, rollup.scores, rollup.status

    expected = outcome(visits, 1)

    assert outcome(data.draw(st.permutations(visits)), data.draw(st.integers(1, 3))) == expected
    if any(one_visit.fallback and one_visit.score is None for one_visit in visits):
        assert expected[0] == "failed" and expected[2].count == 0


def test_a_run_is_running_until_all_its_fragments_are_closed() -> None:
    """A dispatcher that detaches does not end the run; the worker that finishes does."""
    dispatcher, worker = Fragment(RUN), Fragment(RUN, is_root=False)
    detached = dispatcher.close(ends_run=False)
    working = worker.documents(*scored()).calls(call()).snapshot()

    assert merge([detached]).status == "running"
    assert merge([detached, working]).status == "running"
    assert merge([detached, worker.close()]).status == "completed"


def test_one_interrupted_fragment_interrupts_the_run() -> None:
    """It is running again if the worker turns out to be alive."""
    detached = Fragment(RUN).close(ends_run=False)
    worker = Fragment(RUN, is_root=False).calls(call())
    dead = worker.snapshot(interrupted=True)

    assert merge([detached, dead]).status == "interrupted"
    assert merge([detached, dead]).ended_at is not None
    assert merge([detached, dead, worker.snapshot()]).status == "running"


@pytest.mark.parametrize("made", [0, 3])
def test_the_cost_of_a_run_without_an_end_is_incomplete(made: int) -> None:
    """What its process spent after its last snapshot is unknown, even if it had made no call by then."""
    fragment = Fragment(candidates=1).calls(*(call() for _ in range(made)))
    dead = merge([fragment.snapshot(interrupted=True)])

    assert (dead.status, dead.status_reason) == ("interrupted", rules.DIED)
    assert (dead.total.calls, dead.unclosed, dead.cost_complete) == (made, 1, False)
    assert merge([fragment.close()]).cost_complete is True, "it was alive after all"


def test_the_cost_of_a_run_under_way_is_incomplete() -> None:
    """More may be spent while a fragment is open or the run has not been ended."""
    root, part = Fragment(RUN, candidates=1).calls(call()), Fragment(RUN, is_root=False).calls(call())

    assert not merge([root.snapshot()]).cost_complete
    detached = root.close(ends_run=False)
    assert not merge([detached]).cost_complete
    ended = part.close()
    assert merge([detached, ended]).cost_complete


@pytest.mark.parametrize("dead_is_root", [True, False])
def test_one_interrupted_fragment_makes_the_cost_incomplete(dead_is_root: bool) -> None:
    """A child that died makes its parent's run incomplete, and the other way round."""
    parts = [Fragment(RUN, is_root=is_root, candidates=1).calls(call()) for is_root in (True, False)]
    dead, alive = parts if dead_is_root else reversed(parts)
    under_way = merge([alive.close(), dead.snapshot()])
    known_dead = merge([alive.close(), dead.snapshot(interrupted=True)])

    assert (under_way.status, under_way.cost_complete) == ("running", False)
    assert (known_dead.status, known_dead.unclosed) == ("interrupted", 1)
    assert not known_dead.cost_complete


def test_the_cost_of_a_run_left_by_an_exit_is_complete() -> None:
    """It is interrupted, but its last snapshot is exact."""
    final = merge([Fragment(candidates=1).calls(call()).close("interrupted")])

    assert (final.status, final.unclosed, final.cost_complete) == ("interrupted", 0, True)


def test_calls_left_open_are_unfinished() -> None:
    """A call under way when its run closes makes the cost incomplete."""
    fragment = Fragment(candidates=1)
    fragment.accumulator.call_started()

    assert merge([fragment.snapshot()]).unfinished == 0
    final = merge([fragment.close()])
    assert (final.unfinished, final.cost_complete) == (1, False)


def test_a_call_that_ends_late_is_not_unfinished() -> None:
    """A call that outlives its run counts with all it cost, and the cost is complete again."""
    root = Fragment(RUN, candidates=1)
    root.accumulator.call_started()
    final = root.close()
    late = Fragment(RUN, is_root=False, closed_at=START)
    late.accumulator.call_ended(call(), counted_open=False, finished_late=True)

    assert merge([final]).cost_complete is False
    rollup = merge([final, late.snapshot()])
    assert (rollup.unfinished, rollup.cost_complete, rollup.total.calls) == (0, True, 1)
    assert rollup.ended_at == final.closed_at, "what comes late does not make the run longer"
    assert rollup.duration_us == final.duration_us


def test_a_killed_run_lasted_until_its_last_snapshot() -> None:
    """If only its start is known, its duration is unknown, not 0 seconds."""
    fragment = Fragment(candidates=1)
    first = fragment.accumulator.snapshot(fragment.accumulator.facts.opened_at)
    later = fragment.accumulator.snapshot(first.opened_at + 7_500_000_000)

    assert merge([replace(later, interrupted=True)]).duration_us == 7_500_000
    assert merge([replace(first, interrupted=True)]).duration_us is None


def test_a_late_call_under_way_is_unfinished_until_it_ends() -> None:
    """The run has ended, and the cost of the call is not known yet."""
    final = Fragment(RUN, candidates=1).close()
    late = Fragment(RUN, is_root=False, closed_at=START)
    assert late.accumulator.call_started(), "to be saved before the call is made"
    under_way = merge([final, late.snapshot()])
    assert not late.accumulator.call_started(), "a call under way is known"
    late.accumulator.call_ended(call())
    late.accumulator.call_ended(call())
    ended = merge([final, late.snapshot()])

    assert (under_way.status, under_way.unfinished, under_way.cost_complete) == ("completed", 1, False)
    assert (ended.unfinished, ended.cost_complete) == (0, True)
    assert late.accumulator.call_started(), "what was saved last says that all has ended"


def test_a_late_call_whose_process_died_is_unfinished() -> None:
    """The status of the run stays, but the cost of the call is unknown."""
    final = Fragment(RUN, candidates=1).close()
    late = Fragment(RUN, is_root=False, closed_at=START)
    late.accumulator.call_started()
    rollup = merge([final, late.snapshot(interrupted=True)])

    assert (rollup.status, rollup.unfinished, rollup.unclosed) == ("completed", 1, 0)
    assert (rollup.cost_complete, rollup.ended_at) == (False, final.closed_at)


def test_calls_open_in_a_dead_process_are_unfinished() -> None:
    """They stay so, as no later snapshot will say how they ended."""
    fragment = Fragment().calls(call())
    fragment.accumulator.call_started()
    rollup = merge([fragment.snapshot(interrupted=True)])

    assert (rollup.status, rollup.unfinished, rollup.cost_complete) == ("interrupted", 1, False)


@pytest.mark.parametrize(
    ("made", "complete"),
    [
        ([call()], True),
        ([call(), call(pico=None)], False),
        ([call(tokens=None)], False),
        ([failed_call("ranking", "400")], True),
        ([failed_call("ranking", "429", "429", "429")], True),
        ([failed_call("ranking", "timeout")], False),
        ([call(statuses=("timeout", "200"))], False),
        ([failed_call("ranking", "200")], False),
        ([call(tokens=Tokens(), pico=0)], True),
    ],
    ids=[
        "priced",
        "no price",
        "no usage",
        "refused",
        "rate limited",
        "timed out",
        "timed out once",
        "unreadable answer",
        "nothing used",
    ],
)
def test_a_cost_is_complete_only_if_all_calls_are_known(made: list[Call], complete: bool) -> None:
    """A refused call costs nothing."""
    assert merge([Fragment(candidates=1).calls(*made).close()]).cost_complete is complete


def test_the_root_fragment_describes_the_run() -> None:
    """User, size and start are its own, whichever fragment arrives first."""
    root = Fragment(RUN, opened_at=START + SECOND, user_id=7, candidates=3, enqueued_at=START - 2 * SECOND)
    other = Fragment(RUN, is_root=False, opened_at=START)
    rollup = merge([other.close(), root.close()])

    assert (rollup.root.user_id, rollup.root.candidates, rollup.started_at) == (7, 3, START + SECOND)
    assert rollup.queue_wait_us == 3_000_000


def test_a_link_may_come_with_any_fragment() -> None:
    """One fragment with the id of the analysis is enough."""
    root = Fragment(RUN).close()
    late = Fragment(RUN, is_root=False, closed_at=START, analysis_id=5).snapshot()

    assert merge([root]).analysis_id is None
    assert merge([root, late]).analysis_id == 5


def test_documents_are_distinguished_by_name_and_size() -> None:
    """Two files of one name and different size are two documents; visits in several processes are joined."""
    web = Fragment(RUN).documents(visit(size=10, characters=5), visit(size=20))
    worker = Fragment(RUN, is_root=False).documents(visit(size=10, score=0.6))
    rollup = merge([web.close(ends_run=False), worker.close()])

    documents = [
        (document.size, document.characters, document.score, document.outcome)
        for document in rollup.documents
    ]
    assert documents == [(10, 5, 6000, "scored"), (20, None, None, "unscored")]


def test_a_visit_without_a_size_is_no_other_document() -> None:
    """It is joined with the visits of that name in other processes."""
    web = Fragment(RUN).documents(visit(size=10, characters=5))
    worker = Fragment(RUN, is_root=False).documents(visit(score=0.6))
    parts = [web.close(ends_run=False), worker.close()]

    for rollup in (merge(parts), merge(parts[::-1])):
        (document,) = rollup.documents
        assert (document.size, document.characters, document.score) == (10, 5, 6000)


def test_equal_documents_are_distinguished_by_their_rows() -> None:
    """Where the application passes the ids of their rows, the same file twice is two documents."""
    snapshot = Fragment().documents(visit(size=10, row_id=7), visit(size=10, row_id=8)).close()

    assert [document.row_id for document in merge([snapshot]).documents] == [7, 8]


def test_merging_changes_no_snapshot() -> None:
    """Snapshots are read only."""
    parts = [Fragment(RUN, is_root=root).calls(call()).documents(visit(size=1)) for root in (True, False)]
    snapshots = [part.close() for part in parts]
    before = [snapshot.to_json() for snapshot in snapshots]

    merge(snapshots)

    assert [snapshot.to_json() for snapshot in snapshots] == before


def test_merging_nothing_is_an_error() -> None:
    """A run without fragments would be a bug of telemetry."""
    with pytest.raises(ValueError, match="without fragments"):
        merge([])


@settings(max_examples=examples(50))
@given(
    st.dictionaries(st.builds(UsageKey, names, st.sampled_from(["", "chat"])), st.builds(Usage, calls=counts))
)
def test_the_row_with_the_time_of_a_stage_is_no_call(usage: dict[UsageKey, Usage]) -> None:
    """It adds nothing to the run's sums of calls."""
    rollup = merge([facts(usage=usage)])

    assert rollup.total.calls == sum(sums.calls for key, sums in usage.items() if key.operation)
