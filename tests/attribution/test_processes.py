"""Other processes: a forked child works for the run it was forked in, any other has to be told."""

from __future__ import annotations

import multiprocessing

import pytest
from openai import OpenAI

import telemetry
from examples.screener.standin.client import StandIn
from tests.attribution.owners import ask, assert_all_have_their_own
from tests.telemetry.recordings import Recorded

fork = multiprocessing.get_context("fork")


def work(url: str, *owner: str) -> None:
    with OpenAI(base_url=url, api_key="any") as client:
        ask(client, *owner)


def resume(url: str, carrier: dict[str, str]) -> None:
    with telemetry.resume(carrier), telemetry.stage("insights"):
        work(url, "ada", "insights")


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_forked_children(recorded: Recorded, client: OpenAI, ledger: StandIn) -> None:
    """A child of a fork keeps the run and the stage; one that is forked outside may join by a carrier."""
    with telemetry.run("intake", subject="ada") as run:
        carrier = run.carrier()
        with telemetry.stage("ranking"):
            finish(fork.Process(target=work, args=(ledger.url, "ada", "ranking")))
            ask(client, "ada", "ranking")
    finish(fork.Process(target=work, args=(ledger.url,)))
    finish(fork.Process(target=resume, args=(ledger.url, carrier)))

    assert_all_have_their_own(recorded, ledger)


def finish(child: multiprocessing.context.ForkProcess) -> None:
    child.start()
    child.join(60)
    assert child.exitcode == 0
