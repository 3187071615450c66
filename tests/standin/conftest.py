"""One stand-in for all tests of a module, without faults and with an empty ledger in every test."""

from collections.abc import Iterator

import pytest
from openai import AzureOpenAI, OpenAI

from examples.screener.standin.client import StandIn


@pytest.fixture(scope="module")
def _process() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


@pytest.fixture
def standin(_process: StandIn) -> StandIn:
    _process.faults([])
    _process.clear()
    return _process


@pytest.fixture
def client(standin: StandIn) -> Iterator[OpenAI]:
    with OpenAI(base_url=standin.url, api_key="key-1") as client:
        yield client


@pytest.fixture
def azure(standin: StandIn) -> Iterator[AzureOpenAI]:
    endpoint = standin.azure_endpoint
    with AzureOpenAI(azure_endpoint=endpoint, api_version="2024-10-21", api_key="key-1") as client:
        yield client
