"""Every OpenAI call tells its attempts, whatever way it is made and whatever happens to it."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2
import openai
import pytest
from openai import AsyncOpenAI, OpenAI, _base_client
from opentelemetry import trace
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from pydantic import ValidationError

from examples.screener.standin.client import StandIn
from telemetry._internal.guard import internal_errors, raise_internal_errors, reset_internal_errors
from telemetry.conventions import GENAI_SCOPE, OPENAI_SCOPE, Attribute
from telemetry.openai import calls as attempts
from tests.telemetry.openai_matrix import (
    CHAT_BODY,
    CHAT_MODEL,
    CLIENTS,
    EMBEDDING_MODEL,
    SECRET,
    WAYS,
    Client,
    Way,
    drive,
)

WAIT_MS = 15
LIMITED = {"status": 429, "retry_after_ms": WAIT_MS}
CHAT, PARSE, POST = (
    next(way for way in WAYS if way.name == name) for name in ("chat", "chat parse", "post chat")
)

every_client = pytest.mark.parametrize("client", CLIENTS)
every_way = pytest.mark.parametrize("way", WAYS, ids=lambda way: way.name)


@pytest.fixture(scope="module")
def server() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


@pytest.fixture
def standin(server: StandIn) -> StandIn:
    """The service, with an empty ledger and no faults."""
    server.reset_faults()
    server.clear()
    return server


@pytest.fixture
def provider() -> Iterator[TracerProvider]:
    provider = TracerProvider()
    yield provider
    provider.shutdown()


@pytest.fixture
def spans(provider: TracerProvider) -> Iterator[InMemorySpanExporter]:
    """The spans of calls, all instrumentation being in place and none of our errors swallowed."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    attempts.instrument(provider)
    before = raise_internal_errors(True)
    yield exporter
    raise_internal_errors(before)
    attempts.uninstrument()
    OpenAIInstrumentor().uninstrument()
    assert internal_errors() == {}


def only(spans: InMemorySpanExporter) -> ReadableSpan:
    (span,) = spans.get_finished_spans()
    return span


def told(span: ReadableSpan) -> dict[str, Any]:
    return dict(span.attributes or {})


def statuses(standin: StandIn) -> tuple[str, ...]:
    return tuple(str(attempt["status"]) for attempt in standin.ledger()["attempts"])


TOKENS = {
    Attribute.INPUT_TOKENS: "input_tokens",
    Attribute.OUTPUT_TOKENS: "output_tokens",
    Attribute.CACHED_TOKENS: "cached_tokens",
    Attribute.CACHE_WRITE_TOKENS: "cache_write_tokens",
    Attribute.REASONING_TOKENS: "reasoning_tokens",
}


def tokens(attributes: dict[str, Any]) -> dict[str, int]:
    """What a span tells, by the names of the ledger."""
    return {name: attributes[told] for told, name in TOKENS.items() if attributes.get(told)}


def billed(standin: StandIn) -> dict[str, int]:
    usages = [attempt["usage"] for attempt in standin.ledger()["attempts"] if attempt["usage"]]
    sums = {name: sum(usage[name] for usage in usages) for name in TOKENS.values()}
    return {name: count for name, count in sums.items() if count}


@every_client
@every_way
@pytest.mark.parametrize(
    ("faults", "expected"),
    [
        ([], "200"),
        ([{**LIMITED, "first_attempts": 1}], "429 200"),
        ([{**LIMITED, "first_attempts": 1}, {**LIMITED, "status": 500, "first_attempts": 2}], "429 500 200"),
    ],
    ids=["at once", "after a 429", "after a 429 and a 500"],
)
def test_success(
    standin: StandIn, spans: InMemorySpanExporter, client: Client, way: Way, faults: Any, expected: str
) -> None:
    """A call that succeeds has one span, whose attempts, backoff and tokens are those of the ledger."""
    standin.faults(faults)
    drive(client, way, standin.url)

    span = only(spans)
    got = told(span)
    assert (span.name, span.kind) == (f"{way.operation} {way.model}", SpanKind.CLIENT)
    assert span.instrumentation_scope is not None and span.instrumentation_scope.name == way.scope
    assert got[Attribute.OPERATION] == way.operation
    assert got[Attribute.PROVIDER] == "openai"
    assert got[Attribute.REQUEST_MODEL] == way.model
    assert span.status.status_code is not StatusCode.ERROR

    assert got[Attribute.ATTEMPT_STATUSES] == statuses(standin) == tuple(expected.split())
    retries = len(expected.split()) - 1
    assert got[Attribute.ATTEMPTS] == retries + 1
    limited = (got.get(Attribute.RATE_LIMIT_HITS, 0), got.get(Attribute.RATE_LIMIT_RETRIES, 0))
    assert limited == (expected.count("429"),) * 2
    assert got.get(Attribute.OTHER_RETRIES, 0) == expected.count("500")
    assert retries * WAIT_MS / 1000 <= got.get(Attribute.BACKOFF, 0) <= duration(span)
    assert got.get(Attribute.RETRY_AFTER) == (WAIT_MS / 1000 if retries else None)
    assert 0 < got[Attribute.REMAINING_REQUESTS] <= 1
    assert 0 < got[Attribute.REMAINING_TOKENS] <= 1

    assert tokens(got) == (billed(standin) if way.tells_usage else {})
    assert got[Attribute.RESPONSE_MODEL] == standin.ledger()["attempts"][-1]["response_model"]


def duration(span: ReadableSpan) -> float:
    """Return the duration of an ended span in seconds."""
    assert span.start_time is not None and span.end_time is not None
    return (span.end_time - span.start_time) / 1e9


@every_client
@every_way
@pytest.mark.parametrize(
    ("status", "expected", "error"),
    [
        (429, "429 429 429", openai.RateLimitError),
        (400, "400", openai.BadRequestError),
    ],
    ids=["rate limited to the end", "refused as wrong"],
)
def test_answered_with_an_error(
    standin: StandIn,
    spans: InMemorySpanExporter,
    client: Client,
    way: Way,
    status: int,
    expected: str,
    error: type[Exception],
) -> None:
    """The exception reaches the caller, and the span tells all attempts and the exception's type."""
    standin.faults([{"status": status, "retry_after_ms": 1}])
    with pytest.raises(error):
        drive(client, way, standin.url)

    span = only(spans)
    got = told(span)
    assert got[Attribute.ATTEMPT_STATUSES] == statuses(standin) == tuple(expected.split())
    assert got.get(Attribute.RATE_LIMIT_HITS, 0) == expected.count("429")
    assert got.get(Attribute.RATE_LIMIT_RETRIES, 0) == len(expected.split()) - 1
    assert got.get(Attribute.OTHER_RETRIES, 0) == 0
    assert got[Attribute.ERROR_TYPE] == f"openai.{error.__name__}"
    assert span.status.status_code is StatusCode.ERROR


@every_client
@every_way
def test_timeout(standin: StandIn, spans: InMemorySpanExporter, client: Client, way: Way) -> None:
    """An attempt that nobody answered in time counts as ``timeout``."""
    standin.faults([{"delay_ms": 150}])
    with pytest.raises(openai.APITimeoutError):
        drive(client, way, standin.url, timeout=0.05, max_retries=0)
    got = told(only(spans))
    assert got[Attribute.ATTEMPT_STATUSES] == ("timeout",)
    assert got[Attribute.ERROR_TYPE] == "openai.APITimeoutError"


@every_client
@every_way
def test_refused(spans: InMemorySpanExporter, client: Client, way: Way) -> None:
    """An attempt that found nobody listening counts as ``connection_error``."""
    with pytest.raises(openai.APIConnectionError):
        drive(client, way, closed_port(), max_retries=0)
    got = told(only(spans))
    assert got[Attribute.ATTEMPT_STATUSES] == ("connection_error",)
    assert got[Attribute.ERROR_TYPE] == "openai.APIConnectionError"


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


@every_client
def test_retry_after_no_answer(spans: InMemorySpanExporter, client: Client) -> None:
    """A retry after a connection failure is no rate-limit retry, and its wait is backoff."""
    with pytest.raises(openai.APIConnectionError):
        drive(client, CHAT, closed_port(), max_retries=1)
    got = told(only(spans))
    assert got[Attribute.ATTEMPT_STATUSES] == ("connection_error", "connection_error")
    assert (got.get(Attribute.RATE_LIMIT_RETRIES, 0), got.get(Attribute.OTHER_RETRIES, 0)) == (0, 1)
    assert got.get(Attribute.BACKOFF, 0) > 0.2
    assert Attribute.RETRY_AFTER not in got


@every_way
def test_cancelled(standin: StandIn, spans: InMemorySpanExporter, way: Way) -> None:
    """A cancelled call tells the attempt it was in; the caller gets its cancellation."""
    standin.faults([{"delay_ms": 5_000}])

    async def cancel() -> None:
        async with AsyncOpenAI(base_url=standin.url, api_key="any") as client:
            task = asyncio.ensure_future(way.call(client))
            while not (await asyncio.to_thread(standin.ledger))["attempts"]:
                await asyncio.sleep(0.01)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task

    asyncio.run(cancel())
    got = told(only(spans))
    assert got[Attribute.ATTEMPT_STATUSES] == ("cancelled",)
    assert got[Attribute.ERROR_TYPE] == "asyncio.exceptions.CancelledError"


@every_client
def test_parse_of_wrong_json(standin: StandIn, spans: InMemorySpanExporter, client: Client) -> None:
    """An answer that ``parse`` rejects was billed all the same, and its tokens are told."""
    standin.faults([{"bad_json": True}])
    with pytest.raises(ValidationError):
        drive(client, PARSE, standin.url)
    got = told(only(spans))
    assert got[Attribute.ATTEMPT_STATUSES] == ("200",)
    assert tokens(got) == billed(standin) != {}
    assert got[Attribute.SERVICE_TIER] == "default"


@every_client
def test_answer_without_usage(standin: StandIn, spans: InMemorySpanExporter, client: Client) -> None:
    """Where the service leaves the usage out, no number is invented."""
    standin.faults([{"omit_usage": True}])
    drive(client, POST, standin.url)
    assert not [name for name in told(only(spans)) if name.startswith("gen_ai.usage.")]


def test_cached_tokens(standin: StandIn, spans: InMemorySpanExporter) -> None:
    """A prompt sent twice is partly cached, and a span of ours tells how much."""
    drive("sync", POST, standin.url)
    drive("sync", POST, standin.url)
    first, second = (told(span)[Attribute.CACHED_TOKENS] for span in spans.get_finished_spans())
    assert first == 0
    assert second == standin.ledger()["attempts"][1]["usage"]["cached_tokens"] > 0


@every_client
@every_way
def test_no_content(standin: StandIn, spans: InMemorySpanExporter, client: Client, way: Way) -> None:
    """Neither the prompt nor the answer stands on a span."""
    drive(client, way, standin.url)
    standin.faults([{"status": 400}])
    with pytest.raises(openai.BadRequestError):
        drive(client, way, standin.url)
    for span in spans.get_finished_spans():
        assert SECRET not in span.to_json()


@pytest.mark.parametrize("request_", ["models", "cancel"])
def test_calls_that_cost_nothing(standin: StandIn, spans: InMemorySpanExporter, request_: str) -> None:
    """Requests that spend no money get no span."""
    with OpenAI(base_url=standin.url, api_key="any", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError):
            if request_ == "models":
                client.models.retrieve("unknown")
            else:
                client.post("/batches/1/cancel", cast_to=httpx2.Response, body={})
    assert spans.get_finished_spans() == ()


@every_client
def test_client_made_before(
    standin: StandIn, spans: InMemorySpanExporter, provider: TracerProvider, client: Client
) -> None:
    """A client that existed before set-up is counted like any other."""
    attempts.uninstrument()
    settings: Any = {"base_url": standin.url, "api_key": "any"}
    standin.faults([{**LIMITED, "first_attempts": 1}])

    async def asynchronous() -> None:
        async with AsyncOpenAI(**settings) as early:
            attempts.instrument(provider)
            await CHAT.call(early)

    if client == "async":
        asyncio.run(asynchronous())
    else:
        with OpenAI(**settings) as early:
            attempts.instrument(provider)
            CHAT.call(early)
    assert told(only(spans))[Attribute.ATTEMPT_STATUSES] == ("429", "200")


def test_clone(standin: StandIn, spans: InMemorySpanExporter) -> None:
    """A clone by ``with_options`` shares the HTTP client, and is counted with its own number of retries."""
    standin.faults([LIMITED])
    with OpenAI(base_url=standin.url, api_key="any", max_retries=0) as client:
        with pytest.raises(openai.RateLimitError):
            CHAT.call(client.with_options(max_retries=4))
    assert told(only(spans))[Attribute.ATTEMPT_STATUSES] == ("429",) * 5


def test_azure(standin: StandIn, spans: InMemorySpanExporter) -> None:
    """A span of ours names Azure as the provider of an Azure client, whose paths hold the deployment."""
    client = openai.AzureOpenAI(base_url=standin.url, api_key="any", api_version="2024-10-21", max_retries=0)
    with client, contextlib.suppress(openai.APIStatusError):
        POST.call(client)
    got = told(only(spans))
    assert got[Attribute.PROVIDER] == "azure.ai.openai"
    assert got[Attribute.ATTEMPT_STATUSES] == statuses(standin)


class OwnSend(httpx2.Client):
    """A host's HTTP client that overrides ``send`` and calls its base."""

    def send(self, *args: Any, **kwargs: Any) -> httpx2.Response:
        return super().send(*args, **kwargs)


class OwnAsyncSend(httpx2.AsyncClient):
    """The same for the asynchronous client."""

    async def send(self, *args: Any, **kwargs: Any) -> httpx2.Response:
        return await super().send(*args, **kwargs)


@pytest.mark.parametrize("own", [False, True], ids=["plain", "overriding"])
@every_client
def test_custom_http_client(standin: StandIn, spans: InMemorySpanExporter, client: Client, own: bool) -> None:
    """Attempts through the host's HTTP client count once, also when its class overrides ``send``."""
    kinds = {"sync": (httpx2.Client, OwnSend), "async": (httpx2.AsyncClient, OwnAsyncSend)}
    drive(
        client, CHAT, standin.url, http_client=kinds[client][False]()
    )  # the base class is wrapped from here
    spans.clear()
    standin.clear()
    standin.faults([{**LIMITED, "first_attempts": 1}])
    drive(client, CHAT, standin.url, http_client=kinds[client][own]())
    assert told(only(spans))[Attribute.ATTEMPT_STATUSES] == ("429", "200") == statuses(standin)


def test_redirect(standin: StandIn, spans: InMemorySpanExporter) -> None:
    """A redirect inside one attempt is no second attempt."""

    def redirect_once(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/embeddings":
            return httpx2.Response(307, headers={"location": "/elsewhere"})
        return httpx2.Response(200, json={"data": [], "model": EMBEDDING_MODEL, "object": "list"})

    http = httpx2.Client(transport=httpx2.MockTransport(redirect_once), follow_redirects=True)
    with OpenAI(base_url=standin.url, api_key="any", http_client=http) as client:
        client.post("/embeddings", cast_to=httpx2.Response, body={"model": EMBEDDING_MODEL})
    assert told(only(spans))[Attribute.ATTEMPT_STATUSES] == ("200",)


@pytest.mark.parametrize("way", [CHAT, POST], ids=lambda way: way.name)
def test_exit_inside_a_call(spans: InMemorySpanExporter, way: Way) -> None:
    """SystemExit raised in mid-call, as when a worker is ended, passes, and the attempt is told."""

    def leave(request: httpx2.Request) -> httpx2.Response:
        raise SystemExit(1)

    with pytest.raises(SystemExit):
        drive("sync", way, closed_port(), http_client=httpx2.Client(transport=httpx2.MockTransport(leave)))
    got = told(only(spans))
    assert got[Attribute.ATTEMPT_STATUSES] == ("cancelled",)
    assert got[Attribute.ERROR_TYPE] == "SystemExit"


def test_requests_of_the_host(standin: StandIn, spans: InMemorySpanExporter) -> None:
    """What the host sends with the same HTTP library, or while a call is prepared, is no attempt."""

    def key_from_elsewhere() -> str:
        with httpx2.Client() as http:
            http.get(standin.url.replace("/v1", "/_standin/health"))
        return "any"

    with OpenAI(base_url=standin.url, api_key=key_from_elsewhere) as client:
        CHAT.call(client)
    assert key_from_elsewhere() == "any"
    assert told(only(spans))[Attribute.ATTEMPT_STATUSES] == ("200",)


def test_call_inside_a_call(standin: StandIn, spans: InMemorySpanExporter) -> None:
    """A call made while another is prepared has its own span and its own attempts."""
    standin.faults([{**LIMITED, "match": {"path": "/embeddings"}, "first_attempts": 1}])
    inner = next(way for way in WAYS if way.name == "post embeddings")

    def key_after_a_call() -> str:
        drive("sync", inner, standin.url)
        return "any"

    with OpenAI(base_url=standin.url, api_key=key_after_a_call) as client:
        CHAT.call(client)
    by_name = {span.name: told(span)[Attribute.ATTEMPT_STATUSES] for span in spans.get_finished_spans()}
    assert by_name == {f"embeddings {EMBEDDING_MODEL}": ("429", "200"), f"chat {CHAT_MODEL}": ("200",)}


def test_call_while_a_stream_is_open(standin: StandIn, spans: InMemorySpanExporter) -> None:
    """A stream that is not read yet keeps its own attempts; another call meanwhile has its own."""
    standin.faults([{**LIMITED, "first_total": 1}])
    with OpenAI(base_url=standin.url, api_key="any") as client:
        stream = client.chat.completions.create(**CHAT_BODY, stream=True)
        POST.call(client)
        for _ in stream:
            pass
    by_scope = {
        span.instrumentation_scope.name: told(span)[Attribute.ATTEMPT_STATUSES]
        for span in spans.get_finished_spans()
        if span.instrumentation_scope
    }
    assert by_scope == {GENAI_SCOPE: ("429", "200"), OPENAI_SCOPE: ("200",)}


def test_span_with_attempts_is_left_alone(
    standin: StandIn, spans: InMemorySpanExporter, provider: TracerProvider
) -> None:
    """An official span takes the attempts of one call; a second call below it gets a span of ours."""
    standin.faults([{**LIMITED, "first_total": 1}])
    with provider.get_tracer(GENAI_SCOPE).start_as_current_span("chat"):
        drive("sync", POST, standin.url)
        drive("sync", POST, standin.url)
    second, first = (told(span)[Attribute.ATTEMPT_STATUSES] for span in spans.get_finished_spans())
    assert (first, second) == (("429", "200"), ("200",))


def test_span_of_ours_covers_the_call(
    standin: StandIn, spans: InMemorySpanExporter, provider: TracerProvider
) -> None:
    """A span of ours hangs below the current one, lasts as long as the call, and is gone afterwards."""
    standin.faults([{"delay_ms": 50}])
    with provider.get_tracer("host").start_as_current_span("host") as host:
        drive("sync", POST, standin.url)
        assert trace.get_current_span() is host
    span = next(span for span in spans.get_finished_spans() if span.name != "host")
    assert span.parent is not None and span.parent.span_id == host.get_span_context().span_id
    assert duration(span) >= 0.05


@pytest.mark.parametrize("way", [CHAT, POST], ids=lambda way: way.name)
def test_sixty_calls_at_once(standin: StandIn, spans: InMemorySpanExporter, way: Way) -> None:
    """Of sixty concurrent tasks each keeps its own attempts, and their sum is the ledger's."""
    standin.faults([{**LIMITED, "rate": 0.4}], seed=3)

    async def gather() -> None:
        async with AsyncOpenAI(base_url=standin.url, api_key="any", max_retries=9) as client:
            body = [
                {**CHAT_BODY, "messages": [{"role": "user", "content": f"number {n}"}]} for n in range(60)
            ]
            if way is CHAT:
                await asyncio.gather(*(client.chat.completions.create(**each) for each in body))
            else:
                posts = (
                    client.post("/chat/completions", cast_to=httpx2.Response, body=each) for each in body
                )
                await asyncio.gather(*posts)

    asyncio.run(gather())
    compare_with_ledger(spans, standin, calls=60)


def test_threads(standin: StandIn, spans: InMemorySpanExporter) -> None:
    """Of concurrent threads with one client each call keeps its own attempts."""
    standin.faults([{**LIMITED, "rate": 0.4}], seed=5)
    with OpenAI(base_url=standin.url, api_key="any", max_retries=9) as client:
        with ThreadPoolExecutor(8) as pool:
            list(
                pool.map(
                    lambda n: client.embeddings.create(model=EMBEDDING_MODEL, input=[f"number {n}"]),
                    range(30),
                )
            )
    compare_with_ledger(spans, standin, calls=30)


def compare_with_ledger(spans: InMemorySpanExporter, standin: StandIn, *, calls: int) -> None:
    """Compare every call with the ledger's attempts of its own request key."""
    by_call: dict[str, list[str]] = {}
    for attempt in standin.ledger()["attempts"]:
        by_call.setdefault(attempt["request_key"], []).append(str(attempt["status"]))
    got = [told(span)[Attribute.ATTEMPT_STATUSES] for span in spans.get_finished_spans()]
    assert len(got) == len(by_call) == calls
    assert sorted(got) == sorted(tuple(each) for each in by_call.values())
    assert sum(map(len, got)) > calls


def test_without_the_sdk(standin: StandIn) -> None:
    """Where no provider records, calls work and leave nothing behind."""
    attempts.instrument(trace.NoOpTracerProvider())
    try:
        drive("sync", POST, standin.url)
        drive("sync", CHAT, standin.url)
    finally:
        attempts.uninstrument()
    assert statuses(standin) == ("200", "200")


@pytest.mark.parametrize("hook", ["on_start", "on_end"])
def test_errors_of_ours_stay_inside(
    standin: StandIn, spans: InMemorySpanExporter, provider: TracerProvider, hook: str
) -> None:
    """When a span processor breaks, the host still gets its answers and its own exceptions."""

    def fail(*_: Any) -> None:
        raise RuntimeError("broken processor")

    raise_internal_errors(False)
    provider.add_span_processor(type("Broken", (SpanProcessor,), {hook: fail})())
    drive("sync", POST, standin.url)
    drive("async", POST, standin.url)
    standin.faults([{"status": 400}])
    with pytest.raises(openai.BadRequestError):
        drive("sync", POST, standin.url)
    assert statuses(standin) == ("200", "200", "400")
    assert internal_errors() == {"openai": 3}
    reset_internal_errors()


def test_instrument_twice(standin: StandIn, spans: InMemorySpanExporter, provider: TracerProvider) -> None:
    """Calling ``instrument`` again counts nothing twice."""
    attempts.instrument(provider)
    drive("sync", POST, standin.url)
    assert told(only(spans))[Attribute.ATTEMPTS] == 1


def test_uninstrument(standin: StandIn, provider: TracerProvider) -> None:
    """``uninstrument`` puts back the very methods that were there."""
    places = [
        (_base_client.SyncAPIClient, "request"),
        (_base_client.AsyncAPIClient, "request"),
        (httpx2.Client, "send"),
        (httpx2.AsyncClient, "send"),
    ]
    before = [vars(owner)[name] for owner, name in places]
    attempts.instrument(provider)
    drive("sync", POST, standin.url)
    drive("async", POST, standin.url)
    assert all(vars(owner)[name] is not old for (owner, name), old in zip(places, before, strict=True))
    attempts.uninstrument()
    assert all(vars(owner)[name] is old for (owner, name), old in zip(places, before, strict=True))
