"""Azure's paths, key and content filter, through the AzureOpenAI client."""

import asyncio

import pytest
from openai import AsyncAzureOpenAI, AuthenticationError, AzureOpenAI, NotFoundError, OpenAI, RateLimitError
from openai.types.chat import ChatCompletionMessageParam

from examples.screener.standin.client import StandIn

HELLO: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Compare cats and dogs."}]
VERSION = "2024-10-21"


def test_deployment_serves_the_model_at_the_end_of_its_name(standin: StandIn, azure: AzureOpenAI) -> None:
    """The answer names the model, and the ledger both; any other name is a model of its own."""
    names = ["screener-gpt-4o-mini", "gpt-4o", "prod-o3", "demo1", "private"]
    answered = [azure.chat.completions.create(model=name, messages=HELLO).model for name in names]
    lines = standin.ledger()["attempts"]

    assert answered == ["gpt-4o-mini-2024-07-18", "gpt-4o-2024-08-06", "o3-2025-04-16", "demo1", "private"]
    assert [line["model"] for line in lines] == names
    assert [line["response_model"] for line in lines] == answered
    assert lines[0]["path"] == "/openai/deployments/screener-gpt-4o-mini/chat/completions"
    assert {line["operation"] for line in lines} == {"chat"}


def test_deployment_of_the_client_decides_the_model(standin: StandIn) -> None:
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
    """The same request costs the same on either path, for each operation."""
    for either in (client, azure):
        either.chat.completions.create(model="gpt-4o", messages=HELLO)
        either.embeddings.create(model="text-embedding-3-large", input="hello")
        either.responses.create(model="gpt-4o", input="hello")
        either.completions.create(model="gpt-3.5-turbo-instruct", prompt="hello")
    lines = standin.ledger()["attempts"]

    assert [line["status"] for line in lines] == [200] * 8
    assert [line["usage"] for line in lines[:4]] == [line["usage"] for line in lines[4:]]
    assert [line["operation"] for line in lines[:4]] == [line["operation"] for line in lines[4:]]


def test_embeddings_have_the_length_of_the_deployed_model(azure: AzureOpenAI) -> None:
    """A deployment of the large model returns its long vectors."""
    answer = azure.embeddings.create(model="cv-text-embedding-3-large", input="hello")

    assert len(answer.data[0].embedding) == 3072
    assert answer.model == "text-embedding-3-large"


def test_stream_begins_with_a_chunk_without_choices(azure: AzureOpenAI) -> None:
    """The first chunk has no model and only the prompt's filter results; the others are as usual."""
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


def test_newer_paths_need_no_api_version(standin: StandIn) -> None:
    """Below /openai/v1 the plain client works, with the deployment as the model, for all operations."""
    with OpenAI(base_url=f"{standin.azure_endpoint}/openai/v1", api_key="key-1") as client:
        chat = client.chat.completions.create(model="my-gpt-4o", messages=HELLO)
        response = client.responses.create(model="my-gpt-4o", input="hello")
        fetched = client.responses.retrieve(response.id)
        client.embeddings.create(model="text-embedding-3-small", input="hello")

    assert chat.model == response.model == "gpt-4o-2024-08-06"
    assert fetched == response
    assert [line["path"] for line in standin.ledger()["attempts"]] == [
        "/openai/v1/chat/completions",
        "/openai/v1/responses",
        f"/openai/v1/responses/{response.id}",
        "/openai/v1/embeddings",
    ]


def test_asynchronous_client_gets_the_same_answer(standin: StandIn, azure: AzureOpenAI) -> None:
    """The stand-in does not distinguish the clients."""

    async def ask() -> str | None:
        async with AsyncAzureOpenAI(
            azure_endpoint=standin.azure_endpoint, api_version=VERSION, api_key="key-1"
        ) as other:
            answer = await other.chat.completions.create(model="gpt-4o", messages=HELLO)
            return answer.choices[0].message.content

    plain = azure.chat.completions.create(model="gpt-4o", messages=HELLO)

    assert asyncio.run(ask()) == plain.choices[0].message.content


def test_key_and_token_are_both_accepted(standin: StandIn, azure: AzureOpenAI) -> None:
    """A caller has a key in api-key or a token in Authorization; the ledger distinguishes callers."""
    endpoint = standin.azure_endpoint
    with AzureOpenAI(azure_endpoint=endpoint, api_version=VERSION, azure_ad_token="token") as other:
        other.chat.completions.create(model="gpt-4o", messages=HELLO)
    azure.chat.completions.create(model="gpt-4o", messages=HELLO)
    with pytest.raises(AuthenticationError):
        azure.embeddings.create(model="any", input="hello", extra_headers={"api-key": ""})
    lines = standin.ledger()["attempts"]

    assert [line["status"] for line in lines] == [200, 200, 401]
    assert len({line["authorization"] for line in lines}) == 3


def test_api_key_is_for_azure_only(client: OpenAI) -> None:
    """OpenAI's own paths do not accept this header."""
    with pytest.raises(AuthenticationError):
        client.with_options(default_headers={"Authorization": "", "api-key": "key-1"}).responses.create(
            model="gpt-4o", input="hello"
        )


@pytest.mark.parametrize(
    "base", ["/openai/deployments/gpt-4o", "/openai", "/openai/v1/deployments/gpt-4o", "/openai/v2"]
)
def test_paths_that_azure_does_not_serve_are_not_found(standin: StandIn, base: str) -> None:
    """A path without its version, or an unknown one, is a 404, and is in the ledger."""
    with (
        OpenAI(base_url=f"{standin.azure_endpoint}{base}", api_key="key-1") as client,
        pytest.raises(NotFoundError),
    ):
        client.chat.completions.create(model="gpt-4o", messages=HELLO)
    (line,) = standin.ledger()["attempts"]

    assert (line["status"], line["usage"]) == (404, None)


def test_fault_rules_apply_to_azure(standin: StandIn, azure: AzureOpenAI) -> None:
    """Rules match the end of the path, with the same waits and errors."""
    standin.faults(
        [{"match": {"path": "/chat/completions"}, "status": 429, "first_attempts": 1, "retry_after_ms": 20}]
    )
    azure.chat.completions.create(model="gpt-4o", messages=HELLO)
    standin.faults([{"status": 429}])
    with pytest.raises(RateLimitError):
        azure.with_options(max_retries=0).embeddings.create(model="text-embedding-3-small", input="hello")

    assert [line["status"] for line in standin.ledger()["attempts"]] == [429, 200, 429]
    assert [line["attempt"] for line in standin.ledger()["attempts"]] == [1, 2, 1]
