"""Azure's paths, key and content filter, through the AzureOpenAI client."""

import asyncio

import pytest
from openai import AsyncAzureOpenAI, AuthenticationError, AzureOpenAI, NotFoundError, OpenAI, RateLimitError
from openai.types.chat import ChatCompletionMessageParam

from examples.screener.standin.client import StandIn

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Compare cats and dogs."}]
VERSION = "2024-10-21"


def test_a_deployment_serves_the_model_its_name_ends_with(standin: StandIn, azure: AzureOpenAI) -> None:
    """The answer names the model, the ledger both; a name that tells nothing is a model of its own."""
    names = ["screener-gpt-4o-mini", "gpt-4o", "prod-o3", "demo1", "private"]
    answered = [azure.chat.completions.create(model=name, messages=HELLO).model for name in names]
    lines = standin.ledger()["attempts"]

    assert answered == ["gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06", "o3-2025-04-16", "demo1", "private"]
    assert [each["model"] for each in lines] == names
    assert [each["response_model"] for each in lines] == answered
    assert lines[0]["path"] == "/openai/deployments/screener-gpt-4o-mini/chat/completions"
    assert {each["operation"] for each in lines} == {"chat"}


def test_the_deployment_of_the_client_decides(standin: StandIn) -> None:
    """Azure answers with the deployment in the path, whatever model the request names."""
    with AzureOpenAI(
        azure_endpoint=standin.azure_endpoint, azure_deployment="my-o3", api_version=VERSION, api_key="k"
    ) as client:
        answer = client.chat.completions.create(model="gpt-4o", messages=HELLO)
    (line,) = standin.ledger()["attempts"]

    assert answer.model == line["response_model"] == "o3-2025-04-16"
    assert line["model"] == "gpt-4o"
    assert line["usage"]["reasoning_tokens"] > 0


def test_azure_bills_as_the_service_itself(standin: StandIn, client: OpenAI, azure: AzureOpenAI) -> None:
    """The same request costs the same at either place, for each operation."""
    for each in (client, azure):
        each.chat.completions.create(model="gpt-4o", messages=HELLO)
        each.embeddings.create(model="text-embedding-3-large", input="hello")
        each.responses.create(model="gpt-4o", input="hello")
        each.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello")
    lines = standin.ledger()["attempts"]

    assert [each["status"] for each in lines] == [200] * 8
    assert [each["usage"] for each in lines[:4]] == [each["usage"] for each in lines[4:]]
    assert [each["operation"] for each in lines[:4]] == [each["operation"] for each in lines[4:]]


def test_embeddings_have_the_length_of_the_model_deployed(azure: AzureOpenAI) -> None:
    """A deployment of the large model gives its long vectors."""
    answer = azure.embeddings.create(model="cv-text-embedding-3-large", input="hello")

    assert len(answer.data[0].embedding) == 3072
    assert answer.model == "text-embedding-3-large"


def test_a_stream_begins_with_a_chunk_without_choices(azure: AzureOpenAI) -> None:
    """Its first chunk names no model and speaks of the prompt only; the rest is as everywhere."""
    first, *rest = azure.chat.completions.create(
        model="gpt-4o", messages=HELLO, stream=True, stream_options={"include_usage": True}
    )
    plain = azure.chat.completions.create(model="gpt-4o", messages=HELLO)
    text = "".join(choice.delta.content or "" for chunk in rest for choice in chunk.choices)

    assert (first.choices, first.model, first.id) == ([], "", "")
    assert first.model_extra and "prompt_filter_results" in first.model_extra
    assert text == plain.choices[0].message.content
    assert rest[-1].usage == plain.usage
    assert plain.choices[0].model_extra and "content_filter_results" in plain.choices[0].model_extra


def test_the_newer_paths_need_no_version(standin: StandIn) -> None:
    """Below /openai/v1 the plain client works, with the deployment as the model, for all operations."""
    with OpenAI(base_url=f"{standin.azure_endpoint}/openai/v1", api_key="key-1") as client:
        chat = client.chat.completions.create(model="my-gpt-4o", messages=HELLO)
        response = client.responses.create(model="my-gpt-4o", input="hello")
        fetched = client.responses.retrieve(response.id)
        client.embeddings.create(model="text-embedding-3-small", input="hello")

    assert chat.model == response.model == "gpt-4o-2024-08-06"
    assert fetched == response
    assert [each["path"] for each in standin.ledger()["attempts"]] == [
        "/openai/v1/chat/completions",
        "/openai/v1/responses",
        f"/openai/v1/responses/{response.id}",
        "/openai/v1/embeddings",
    ]


def test_the_asynchronous_client_is_served_alike(standin: StandIn, azure: AzureOpenAI) -> None:
    """Sync or async makes no difference."""

    async def ask() -> str | None:
        async with AsyncAzureOpenAI(
            azure_endpoint=standin.azure_endpoint, api_version=VERSION, api_key="key-1"
        ) as other:
            answer = await other.chat.completions.create(model="gpt-4o", messages=HELLO)
            return answer.choices[0].message.content

    plain = azure.chat.completions.create(model="gpt-4o", messages=HELLO)

    assert asyncio.run(ask()) == plain.choices[0].message.content


def test_key_and_token_are_both_good(standin: StandIn, azure: AzureOpenAI) -> None:
    """A caller has a key in api-key or a token in Authorization; the ledger tells callers apart."""
    endpoint = standin.azure_endpoint
    with AzureOpenAI(azure_endpoint=endpoint, api_version=VERSION, azure_ad_token="token") as other:
        other.chat.completions.create(model="gpt-4o", messages=HELLO)
    azure.chat.completions.create(model="gpt-4o", messages=HELLO)
    with pytest.raises(AuthenticationError):
        azure.embeddings.create(model="any", input="hello", extra_headers={"api-key": ""})
    lines = standin.ledger()["attempts"]

    assert [each["status"] for each in lines] == [200, 200, 401]
    assert len({each["authorization"] for each in lines}) == 3


def test_api_key_is_for_azure_only(client: OpenAI) -> None:
    """The service itself knows no such header."""
    with pytest.raises(AuthenticationError):
        client.with_options(default_headers={"Authorization": "", "api-key": "key-1"}).responses.create(
            model="gpt-4o", input="hello"
        )


@pytest.mark.parametrize(
    "base", ["/openai/deployments/gpt-4o", "/openai", "/openai/v1/deployments/gpt-4o", "/openai/v2"]
)
def test_what_azure_does_not_serve_is_not_found(standin: StandIn, base: str) -> None:
    """A path without its version, or one that is nowhere, is a 404 and in the ledger."""
    with (
        OpenAI(base_url=f"{standin.azure_endpoint}{base}", api_key="key-1") as client,
        pytest.raises(NotFoundError),
    ):
        client.chat.completions.create(model="gpt-4o", messages=HELLO)
    (line,) = standin.ledger()["attempts"]

    assert (line["status"], line["usage"]) == (404, None)


def test_rules_meet_azure_calls(standin: StandIn, azure: AzureOpenAI) -> None:
    """The end of the path is the same, and so are waits and errors."""
    standin.faults(
        [{"match": {"path": "/chat/completions"}, "status": 429, "first_attempts": 1, "retry_after_ms": 20}]
    )
    azure.chat.completions.create(model="gpt-4o", messages=HELLO)
    standin.faults([{"status": 429}])
    with pytest.raises(RateLimitError):
        azure.with_options(max_retries=0).embeddings.create(model="text-embedding-3-small", input="hello")

    assert [each["status"] for each in standin.ledger()["attempts"]] == [429, 200, 429]
    assert [each["attempt"] for each in standin.ledger()["attempts"]] == [1, 2, 1]
