"""Nested stages: a call belongs to the innermost one, opened by the API or by a plain span."""

from __future__ import annotations

from contextlib import AbstractContextManager
from itertools import permutations, product
from typing import Any

import pytest
from openai import OpenAI

import telemetry
from examples.screener.standin.client import StandIn
from telemetry.conventions import Attribute
from tests.attribution.owners import NO_STAGE, ORPHAN, ask, assert_calls_match_ledger
from tests.telemetry.recordings import Recorded


def plain(recorded: Recorded, stage: str) -> AbstractContextManager[Any]:
    """Open a span of the application that names a stage."""
    return recorded.tracer.start_as_current_span("work", attributes={Attribute.STAGE: stage})


def enter(recorded: Recorded, kind: str, stage: str) -> AbstractContextManager[Any]:
    return telemetry.stage(stage) if kind == "api" else plain(recorded, stage)


@pytest.mark.parametrize("kinds", list(product(["api", "plain"], repeat=3)), ids=" in ".join)
def test_innermost_stage_takes_the_call(
    recorded: Recorded, client: OpenAI, ledger: StandIn, kinds: tuple[str, str, str]
) -> None:
    """This holds on the way in and on the way out."""
    first, second, third = kinds
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

    assert_calls_match_ledger(recorded, ledger)


def test_spans_without_a_stage_hide_no_stage(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """Neither documents nor plain spans between a stage and a call do."""
    span = recorded.tracer.start_as_current_span
    with telemetry.run("intake", subject="ada"), span("loop"):
        ask(client, "ada")
        with telemetry.stage("ranking"), telemetry.document("cv"), span("one"), span("another"):
            ask(client, "ada", "ranking")
        with plain(recorded, "insights"), span("one"), telemetry.document("cv"):
            ask(client, "ada", "insights")

    assert_calls_match_ledger(recorded, ledger)


def test_nested_run_begins_without_a_stage(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """When it ends, the outer run is in its stage again."""
    with telemetry.run("intake", subject="ada"), telemetry.stage("ranking"):
        with telemetry.run("intake", subject="bob"):
            ask(client, "bob")
            with telemetry.stage("ranking"):
                ask(client, "bob", "ranking")
        ask(client, "ada", "ranking")

    assert_calls_match_ledger(recorded, ledger)


def test_stages_outside_a_run_have_no_effect(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """Calls in them are orphans without a stage."""
    ask(client, ORPHAN, NO_STAGE)
    with telemetry.stage("ranking"), plain(recorded, "ranking"):
        ask(client, ORPHAN, NO_STAGE)

    (run,) = assert_calls_match_ledger(recorded, ledger)
    assert run.root.kind == ORPHAN


@pytest.mark.parametrize("order", list(permutations(["ada", "bob", "eve"])), ids=" ".join)
def test_overlapping_runs_keep_their_own_calls(
    recorded: Recorded, client: OpenAI, ledger: StandIn, order: tuple[str, ...]
) -> None:
    """Handles may end in any order; afterwards no run is current."""
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

    assert_calls_match_ledger(recorded, ledger)
