"""Calls of other processes: a forked child inherits the run, any other process needs a carrier."""

from __future__ import annotations

import multiprocessing

import pytest
from openai import OpenAI

import telemetry
from examples.screener.standin.client import StandIn
from tests.attribution.owners import ask, assert_calls_match_ledger
from tests.telemetry.recordings import Recorded

fork = multiprocessing.get_context("fork")


def work(url: str, *owner: str) -> None:
    with OpenAI(base_url=url, api_key="any") as client:
        ask(client, *owner)


def resume(url: str, carrier: dict[str, str]) -> None:
    with telemetry.resume(carrier), telemetry.stage("insights"):
        work(url, "ada", "insights")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_child_inherits_run_and_stage(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """A child that is forked outside of any run may resume one by a carrier."""
    with telemetry.run("intake", subject="ada") as run:
        carrier = run.carrier()
        with telemetry.stage("ranking"):
            finish(fork.Process(target=work, args=(ledger.url, "ada", "ranking")))
            ask(client, "ada", "ranking")
    finish(fork.Process(target=work, args=(ledger.url,)))
    finish(fork.Process(target=resume, args=(ledger.url, carrier)))

    assert_calls_match_ledger(recorded, ledger)


def finish(child: multiprocessing.context.ForkProcess) -> None:
    child.start()
    child.join(60)
    assert child.exitcode == 0
