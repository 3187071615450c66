"""Stages in stages: the innermost takes the call, whoever named it."""

from __future__ import annotations

from contextlib import AbstractContextManager
from itertools import permutations, product
from typing import Any

import pytest
from openai import OpenAI

import telemetry
from examples.screener.standin.client import StandIn
from telemetry.conventions import Attribute
from tests.attribution.owners import NO_STAGE, NOBODY, ask, assert_all_have_their_own
from tests.telemetry.recordings import Recorded


def plain(recorded: Recorded, stage: str) -> AbstractContextManager[Any]:
    """A span of the application's that names a stage."""
    return recorded.tracer.start_as_current_span("work", attributes={Attribute.STAGE: stage})


def enter(recorded: Recorded, how: str, stage: str) -> AbstractContextManager[Any]:
    return telemetry.stage(stage) if how == "api" else plain(recorded, stage)


@pytest.mark.parametrize("hows", list(product(["api", "plain"], repeat=3)), ids=" in ".join)
def test_the_innermost_wins(
    recorded: Recorded, client: OpenAI, ledger: StandIn, hows: tuple[str, str, str]
) -> None:
    """On the way in and on the way out, a call belongs to the stage right around it."""
    first, second, third = hows
    with telemetry.run("intake", subject="ada"):
        ask(client, "ada")
        with enter(recorded, first, "extraction"):
            ask(client, "ada", "extraction")
            with enter(recorded, second, "ranking"):
                ask(client, "ada", "ranking")
                with enter(recorded, third, "insights"):
                    ask(client, "ada", "insights")
                ask(client, "ada", "ranking")
            ask(client, "ada", "extraction")
        ask(client, "ada")

    assert_all_have_their_own(recorded, ledger)


def test_spans_in_between(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """Spans that name no stage, documents and plain spans, hide nothing."""
    span = recorded.tracer.start_as_current_span
    with telemetry.run("intake", subject="ada"), span("loop"):
        ask(client, "ada")
        with telemetry.stage("ranking"), telemetry.document("cv"), span("one"), span("another"):
            ask(client, "ada", "ranking")
        with plain(recorded, "insights"), span("one"), telemetry.document("cv"):
            ask(client, "ada", "insights")

    assert_all_have_their_own(recorded, ledger)


def test_the_same_stage_in_many_runs(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """A run in a stage of another begins without a stage, and leaves the other in its own."""
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        with telemetry.run("intake", subject="bob"):
            ask(client, "bob")
            with telemetry.stage("ranking"):
                ask(client, "bob", "ranking")
        ask(client, "ada", "ranking")

    assert_all_have_their_own(recorded, ledger)


def test_outside_a_run(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """Outside a run nothing is a stage, and a span that says so opens none."""
    ask(client, NOBODY, NO_STAGE)
    with telemetry.stage("ranking"), plain(recorded, "ranking"):
        ask(client, NOBODY, NO_STAGE)

    (run,) = assert_all_have_their_own(recorded, ledger)
    assert run.root.kind == NOBODY


@pytest.mark.parametrize("order", list(permutations(["ada", "bob", "eve"])), ids=" ".join)
def test_runs_that_take_turns(
    recorded: Recorded, client: OpenAI, ledger: StandIn, order: tuple[str, ...]
) -> None:
    """Handles that are open at once and end in any order keep their own; afterwards there is no run."""
    names = ["ada", "bob", "eve"]
    handles = {}
    for name in names:
        handles[name] = telemetry.start_run("intake", subject=name)
        telemetry.stage("ranking", ask, client, name, "ranking")
    open_runs = list(names)
    for name in order:
        handles[name].finish()
        open_runs.remove(name)
        ask(client, *open_runs[-1:])

    assert_all_have_their_own(recorded, ledger)
