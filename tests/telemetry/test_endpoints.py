"""Every request that the openai client can make is a call that may cost money, or is known to be free."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import httpx2
import openai
import pytest
from openai import OpenAI

import telemetry
from telemetry.conventions import OTHER
from telemetry.usage.endpoints import FREE, OPERATION_NAMES, OPERATIONS, operation_of
from tests.telemetry.recordings import Recorded

RESOURCES = Path(openai.__file__).with_name("resources")
SENDS = re.compile(r"self\._(post|put|patch|get_api_list)\(\s*(.*?),\n(.*?)\n        \)", re.DOTALL)
"""A method that sends something, its path, and its other arguments. Methods that only read are left out."""
LITERAL = re.compile(r'f?"([^"]*)"')
ANSWER = {
    "id": "x",
    "object": "x",
    "model": "gpt-5-mini",
    "usage": {"input_tokens": 1000, "output_tokens": 100, "total_tokens": 1100},
}


class Sent(NamedTuple):
    """A request that the installed client can make."""

    method: str
    path: str
    """With ``{}`` for each id."""


def requests_of_the_client() -> Iterator[Sent]:
    """Read from the installed client's source which requests it can make."""
    for file in RESOURCES.rglob("*.py"):
        for verb, path, more in SENDS.findall(file.read_text()):
            literal = LITERAL.search(path)
            assert literal is not None, f"{file}: {path} is no path that this test can read"
            if verb == "get_api_list" and 'method="post"' not in more:
                continue
            method = "post" if verb == "get_api_list" else verb
            yield Sent(method, re.sub(r"\{[^}]*\}", "{}", literal[1]).partition("?")[0])


def is_free(path: str) -> bool:
    wildcard = "/" + path.split("/")[1] + "/**"
    return path in FREE or wildcard in FREE


SENT = sorted(set(requests_of_the_client()))


def test_requests_are_read_from_the_clients_source() -> None:
    """There are many, among them some that every version sends; else the tests below would check nothing."""
    assert {Sent("post", "/chat/completions"), Sent("post", "/vector_stores/{}/search")} <= set(SENT)
    assert len(SENT) > 100


@pytest.mark.parametrize("sent", SENT, ids=str)
def test_every_path_of_the_installed_client_is_known(sent: Sent) -> None:
    """Each path is in exactly one of the two tables, so that a client with a new endpoint fails here."""
    assert (sent.path in OPERATIONS) is not is_free(sent.path), (
        f"{sent.path} must be in OPERATIONS or in FREE of telemetry/usage/endpoints.py, and not in both"
    )
    operation = operation_of(sent.method, sent.path.replace("{}", "x1"))
    assert operation == (None if is_free(sent.path) else OPERATIONS[sent.path])


@pytest.mark.parametrize("method", ["get", "GET", "delete", "head"])
def test_reading_and_deleting_is_free(method: str) -> None:
    """Requests to list, fetch, poll or delete are no calls, on any path."""
    for path in (*OPERATIONS, *FREE, "/brand/new"):
        assert operation_of(method, path.replace("{}", "x1")) is None


@pytest.mark.parametrize(
    ("url", "operation"),
    [
        ("/responses?beta=true", "chat"),
        ("https://api.openai.com/v1/embeddings", "embeddings"),
        ("https://here.openai.azure.com/openai/deployments/files/chat/completions?api-version=1", "chat"),
        ("https://gateway/projects/7/organization/8/openai/v1/chat/completions", "chat"),
        ("/v1/vector_stores/vs_1/search", "retrieval"),
        ("/videos/v_1/remix/", "video_generation"),
        ("/brand/new", OTHER),
        ("/responses/resp_1/resume", OTHER),
        ("", OTHER),
        ("https://gateway/v1/moderations", None),
        ("/organization/projects/p/archive", None),
        ("/threads/t/runs/r/cancel", None),
    ],
)
def test_operation_follows_from_the_path(url: str, operation: str | None) -> None:
    """Prefixes of the path do not matter, and an unknown path is never free."""
    assert operation_of("post", url) == operation
    assert operation is None or operation in OPERATION_NAMES


def test_every_free_path_has_a_reason() -> None:
    """The reason is a sentence in the table."""
    assert [path for path, reason in FREE.items() if len(reason.split()) < 4 or reason[-1] != "."] == []


@pytest.fixture
def answered() -> Iterator[OpenAI]:
    """A client whose every request is answered with the same usage."""
    transport = httpx2.MockTransport(lambda request: httpx2.Response(200, json=ANSWER))
    with OpenAI(
        base_url="http://127.0.0.1/v1", api_key="any", http_client=httpx2.Client(transport=transport)
    ) as c:
        yield c


@pytest.mark.parametrize(
    ("path", "operation", "is_priced"),
    [
        ("/decisions", "decision", True),
        ("/brand/new", "other", True),
        ("/vector_stores/v/search", "retrieval", False),
        ("/agents/sessions/s/turns", "invoke_agent", False),
        ("/images/generations", "image_generation", False),
    ],
)
def test_any_answer_with_usage_is_counted(
    recorded: Recorded, answered: OpenAI, path: str, operation: str, is_priced: bool
) -> None:
    """Tokens count whatever the path; they are priced unless the operation is not billed by tokens."""
    with telemetry.run("intake"):
        answered.post(path, cast_to=dict[str, object], body={"model": "gpt-5-mini"})
    run = recorded.run()

    assert [key.operation for key in run.usage] == [operation]
    assert (run.total.calls, run.total.input_tokens, run.total.output_tokens) == (1, 1000, 100)
    assert (run.total.unpriced, run.cost_complete) == (int(not is_priced), is_priced)
    assert run.total.cost_pico == (1000 * 250_000 + 100 * 2_000_000 if is_priced else 0)


@pytest.mark.parametrize("path", ["/moderations", "/responses/input_tokens", "/responses/r/cancel", "/files"])
def test_free_requests_are_no_calls(recorded: Recorded, answered: OpenAI, path: str) -> None:
    """Not even if their answers hold a usage."""
    with telemetry.run("intake"):
        answered.post(path, cast_to=dict[str, object], body={"model": "gpt-5-mini"})
        answered.get("/responses/r", cast_to=dict[str, object])
    run = recorded.run()

    assert (run.total.calls, run.cost_complete) == (0, True)
