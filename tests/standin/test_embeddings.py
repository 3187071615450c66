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
    """The more similar a résumé is to the job description, the higher is their cosine."""
    answer = client.embeddings.create(model=MODEL, input=TEXTS)
    jd, *resumes = (embedding.embedding for embedding in answer.data)
    backend, frontend, chef = (cosine(jd, resume) for resume in resumes)

    assert backend > frontend + 0.1 > frontend > chef + 0.05


def test_vectors_have_the_models_dimensions_and_length_one(client: OpenAI) -> None:
    """The small model has 1536 dimensions, the large one 3072; vectors are normalised."""
    small = client.embeddings.create(model=MODEL, input=TEXTS[0]).data[0].embedding
    large = client.embeddings.create(model="text-embedding-3-large", input=TEXTS[0]).data[0].embedding

    assert (len(small), len(large)) == (1536, 3072)
    assert math.isclose(cosine(small, small), 1, rel_tol=1e-5)


def test_dimensions_shorten_the_vector(client: OpenAI) -> None:
    """A shortened vector is the beginning of the full one, normalised again."""
    full = client.embeddings.create(model=MODEL, input=TEXTS[0]).data[0].embedding[:256]
    short = client.embeddings.create(model=MODEL, input=TEXTS[0], dimensions=256).data[0].embedding

    assert math.isclose(cosine(short, short), 1, rel_tol=1e-5)
    assert math.isclose(cosine(short, full) / math.sqrt(cosine(full, full)), 1, rel_tol=1e-5)


def test_base64_and_float_are_equal(client: OpenAI) -> None:
    """The client requests base64 by default, and gets the same numbers as floats."""
    packed = client.embeddings.create(model=MODEL, input=TEXTS).data
    plain = client.embeddings.create(model=MODEL, input=TEXTS, encoding_format="float").data

    assert [item.embedding for item in packed] == [item.embedding for item in plain]
    assert [item.index for item in packed] == [0, 1, 2, 3]


def test_asynchronous_client_gets_the_same_vectors(standin: StandIn, client: OpenAI) -> None:
    """Nor does a repeated request change them."""

    async def ask() -> list[float]:
        async with AsyncOpenAI(base_url=standin.url, api_key="key-1") as other:
            return (await other.embeddings.create(model=MODEL, input=TEXTS[0])).data[0].embedding

    assert asyncio.run(ask()) == client.embeddings.create(model=MODEL, input=TEXTS[0]).data[0].embedding


def test_usage_adds_up_the_inputs(client: OpenAI) -> None:
    """A batch is billed as its texts one by one; input given as tokens is counted as it is."""
    one_by_one = [client.embeddings.create(model=MODEL, input=text).usage.prompt_tokens for text in TEXTS]
    batch = client.embeddings.create(model=MODEL, input=TEXTS)
    tokens = client.embeddings.create(model=MODEL, input=[[1, 2, 3], [4, 5]])

    assert batch.usage.prompt_tokens == batch.usage.total_tokens == sum(one_by_one)
    assert tokens.usage.prompt_tokens == 5
    assert len(tokens.data) == 2


@pytest.mark.parametrize(
    "texts", ["", [], ["fine", ""], "word " * 8193], ids=["empty", "none", "one", "long"]
)
def test_empty_or_overlong_input_is_refused(client: OpenAI, texts: str | list[str]) -> None:
    """The answer is the service's 400, which names the parameter."""
    with pytest.raises(BadRequestError) as refusal:
        client.embeddings.create(model=MODEL, input=texts)

    assert refusal.value.param == "input"
