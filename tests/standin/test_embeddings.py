"""Embeddings, through the openai client."""

import asyncio
import math

import pytest
from openai import AsyncOpenAI, BadRequestError, OpenAI

from examples.screener.standin.client import StandIn

MODEL = "text-embedding-3-small"
TEXTS = [
    "We are looking for a backend engineer with Python, Flask and PostgreSQL.",
    "Backend developer. Python services with Flask, PostgreSQL databases.",
    "Front-end developer. Some Python, mostly TypeScript and React.",
    "Pastry chef, wedding cakes and croissants.",
]


def cosine(one: list[float], other: list[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def test_similar_texts_score_higher(client: OpenAI) -> None:
    """The closer a résumé is to the job description, the higher their cosine."""
    answer = client.embeddings.create(model=MODEL, input=TEXTS)
    jd, *resumes = (each.embedding for each in answer.data)
    backend, frontend, chef = (cosine(jd, resume) for resume in resumes)

    assert backend > frontend + 0.1 > frontend > chef + 0.05


def test_vectors_are_of_the_models_length_and_of_length_one(client: OpenAI) -> None:
    """The small model answers with 1536 numbers, the large one with 3072, on the unit sphere."""
    small = client.embeddings.create(model=MODEL, input=TEXTS[0]).data[0].embedding
    large = client.embeddings.create(model="text-embedding-3-large", input=TEXTS[0]).data[0].embedding

    assert (len(small), len(large)) == (1536, 3072)
    assert math.isclose(cosine(small, small), 1, rel_tol=1e-5)


def test_dimensions_shorten_the_vector(client: OpenAI) -> None:
    """A shortened vector is the beginning of the full one, brought back to length one."""
    full = client.embeddings.create(model=MODEL, input=TEXTS[0]).data[0].embedding[:256]
    short = client.embeddings.create(model=MODEL, input=TEXTS[0], dimensions=256).data[0].embedding

    assert math.isclose(cosine(short, short), 1, rel_tol=1e-5)
    assert math.isclose(cosine(short, full) / math.sqrt(cosine(full, full)), 1, rel_tol=1e-5)


def test_base64_and_float_say_the_same(client: OpenAI) -> None:
    """The client asks for base64 by default; asked for numbers it gets the same ones."""
    packed = client.embeddings.create(model=MODEL, input=TEXTS).data
    plain = client.embeddings.create(model=MODEL, input=TEXTS, encoding_format="float").data

    assert [each.embedding for each in packed] == [each.embedding for each in plain]
    assert [each.index for each in packed] == [0, 1, 2, 3]


def test_the_asynchronous_client_gets_the_same_vectors(standin: StandIn, client: OpenAI) -> None:
    """Sync or async makes no difference, nor does asking twice."""

    async def ask() -> list[float]:
        async with AsyncOpenAI(base_url=standin.url, api_key="key-1") as other:
            return (await other.embeddings.create(model=MODEL, input=TEXTS[0])).data[0].embedding

    assert asyncio.run(ask()) == client.embeddings.create(model=MODEL, input=TEXTS[0]).data[0].embedding


def test_usage_adds_up_the_inputs(client: OpenAI) -> None:
    """A batch bills what its texts would have billed one by one; tokens count as they are."""
    one_by_one = [client.embeddings.create(model=MODEL, input=text).usage.prompt_tokens for text in TEXTS]
    batch = client.embeddings.create(model=MODEL, input=TEXTS)
    tokens = client.embeddings.create(model=MODEL, input=[[1, 2, 3], [4, 5]])

    assert batch.usage.prompt_tokens == batch.usage.total_tokens == sum(one_by_one)
    assert tokens.usage.prompt_tokens == 5
    assert len(tokens.data) == 2


@pytest.mark.parametrize(
    "texts", ["", [], ["fine", ""], "word " * 8193], ids=["empty", "none", "one", "long"]
)
def test_an_empty_or_overlong_input_is_refused(client: OpenAI, texts: str | list[str]) -> None:
    """As the service does, 400 names the parameter."""
    with pytest.raises(BadRequestError) as refusal:
        client.embeddings.create(model=MODEL, input=texts)

    assert refusal.value.param == "input"
