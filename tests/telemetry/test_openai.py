"""Every OpenAI call has a span with its attempts, in whatever way it is made and however it ends."""

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
from tests.telemetry.conftest import uninstrument
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
    """The stand-in, with an empty ledger and no faults."""
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
    """The spans of instrumented calls; internal errors are raised."""
    exporter = InMemorySpanExporter()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    uninstrument()  # an earlier test may have set telemetry up as an application does
    OpenAIInstrumentor().instrument(tracer_provider=provider)
    attempts.instrument(provider)
    before = raise_internal_errors(True)
    yield exporter
    raise_internal_errors(before)
    uninstrument()
    assert internal_errors() == {}


def only(spans: InMemorySpanExporter) -> ReadableSpan:
    (span,) = spans.get_finished_spans()
    return span


def attributes_of(span: ReadableSpan) -> dict[str, Any]:
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
    """Return the token counts of a span, by the names of the ledger."""
    return {name: attributes[attribute] for attribute, name in TOKENS.items() if attributes.get(attribute)}


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
def test_successful_call_has_one_complete_span(
    standin: StandIn, spans: InMemorySpanExporter, client: Client, way: Way, faults: Any, expected: str
) -> None:
    """Its attempts, backoff and tokens are those of the ledger."""
    standin.faults(faults)
    drive(client, way, standin.url)

    span = only(spans)
    attributes = attributes_of(span)
    assert (span.name, span.kind) == (f"{way.operation} {way.model}", SpanKind.CLIENT)
    assert span.instrumentation_scope is not None and span.instrumentation_scope.name == way.scope
    assert attributes[Attribute.OPERATION] == way.operation
    assert attributes[Attribute.PROVIDER] == "openai"
    assert attributes[Attribute.REQUEST_MODEL] == way.model
    assert span.status.status_code is not StatusCode.ERROR

    assert attributes[Attribute.ATTEMPT_STATUSES] == statuses(standin) == tuple(expected.split())
    retries = len(expected.split()) - 1
    assert attributes[Attribute.ATTEMPTS] == retries + 1
    limited = (attributes.get(Attribute.RATE_LIMIT_HITS, 0), attributes.get(Attribute.RATE_LIMIT_RETRIES, 0))
    assert limited == (expected.count("429"),) * 2
    assert attributes.get(Attribute.OTHER_RETRIES, 0) == expected.count("500")
    assert retries * WAIT_MS / 1000 <= attributes.get(Attribute.BACKOFF, 0) <= duration(span)
    assert attributes.get(Attribute.RETRY_AFTER) == (WAIT_MS / 1000 if retries else None)
    assert 0 < attributes[Attribute.REMAINING_REQUESTS] <= 1
    assert 0 < attributes[Attribute.REMAINING_TOKENS] <= 1

    assert tokens(attributes) == (billed(standin) if way.reports_usage else {})
    assert attributes[Attribute.RESPONSE_MODEL] == standin.ledger()["attempts"][-1]["response_model"]


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
    ids=["rate limited to the end", "refused as invalid"],
)
def test_refused_call_has_all_its_attempts(
    standin: StandIn,
    spans: InMemorySpanExporter,
    client: Client,
    way: Way,
    status: int,
    expected: str,
    error: type[Exception],
) -> None:
    """The exception reaches the caller, and the span has its type."""
    standin.faults([{"status": status, "retry_after_ms": 1}])
    with pytest.raises(error):
        drive(client, way, standin.url)

    span = only(spans)
    attributes = attributes_of(span)
    assert attributes[Attribute.ATTEMPT_STATUSES] == statuses(standin) == tuple(expected.split())
    assert attributes.get(Attribute.RATE_LIMIT_HITS, 0) == expected.count("429")
    assert attributes.get(Attribute.RATE_LIMIT_RETRIES, 0) == len(expected.split()) - 1
    assert attributes.get(Attribute.OTHER_RETRIES, 0) == 0
    assert attributes[Attribute.ERROR_TYPE] == f"openai.{error.__name__}"
    assert span.status.status_code is StatusCode.ERROR


@every_client
@every_way
def test_unanswered_attempt_is_a_timeout(
    standin: StandIn, spans: InMemorySpanExporter, client: Client, way: Way
) -> None:
    """An attempt that is not answered in time has the status ``timeout``."""
    standin.faults([{"delay_ms": 150}])
    with pytest.raises(openai.APITimeoutError):
        drive(client, way, standin.url, timeout=0.05, max_retries=0)
    attributes = attributes_of(only(spans))
    assert attributes[Attribute.ATTEMPT_STATUSES] == ("timeout",)
    assert attributes[Attribute.ERROR_TYPE] == "openai.APITimeoutError"


@every_client
@every_way
def test_unreachable_server_is_a_connection_error(
    spans: InMemorySpanExporter, client: Client, way: Way
) -> None:
    """An attempt at a port where nothing listens has the status ``connection_error``."""
    with pytest.raises(openai.APIConnectionError):
        drive(client, way, closed_port(), max_retries=0)
    attributes = attributes_of(only(spans))
    assert attributes[Attribute.ATTEMPT_STATUSES] == ("connection_error",)
    assert attributes[Attribute.ERROR_TYPE] == "openai.APIConnectionError"


def closed_port() -> str:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{free.getsockname()[1]}/v1"


@every_client
def test_retry_after_a_connection_error_is_no_rate_limit_retry(
    spans: InMemorySpanExporter, client: Client
) -> None:
    """The wait before it counts as backoff."""
    with pytest.raises(openai.APIConnectionError):
        drive(client, CHAT, closed_port(), max_retries=1)
    attributes = attributes_of(only(spans))
    assert attributes[Attribute.ATTEMPT_STATUSES] == ("connection_error", "connection_error")
    assert (attributes.get(Attribute.RATE_LIMIT_RETRIES, 0), attributes.get(Attribute.OTHER_RETRIES, 0)) == (
        0,
        1,
    )
    assert attributes.get(Attribute.BACKOFF, 0) > 0.2
    assert Attribute.RETRY_AFTER not in attributes


@every_way
def test_cancelled_call_has_its_attempt(standin: StandIn, spans: InMemorySpanExporter, way: Way) -> None:
    """The attempt has the status ``cancelled``, and the caller gets its CancelledError."""
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
    attributes = attributes_of(only(spans))
    assert attributes[Attribute.ATTEMPT_STATUSES] == ("cancelled",)
    assert attributes[Attribute.ERROR_TYPE] == "asyncio.exceptions.CancelledError"


@every_client
def test_answer_that_parse_rejects_has_its_tokens(
    standin: StandIn, spans: InMemorySpanExporter, client: Client
) -> None:
    """It was billed all the same."""
    standin.faults([{"bad_json": True}])
    with pytest.raises(ValidationError):
        drive(client, PARSE, standin.url)
    attributes = attributes_of(only(spans))
    assert attributes[Attribute.ATTEMPT_STATUSES] == ("200",)
    assert tokens(attributes) == billed(standin) != {}
    assert attributes[Attribute.SERVICE_TIER] == "default"


@every_client
def test_answer_without_usage_has_no_token_attributes(
    standin: StandIn, spans: InMemorySpanExporter, client: Client
) -> None:
    """Unknown counts are left out, not set to zero."""
    standin.faults([{"omit_usage": True}])
    drive(client, POST, standin.url)
    assert not [name for name in attributes_of(only(spans)) if name.startswith("gen_ai.usage.")]


def test_cached_tokens_are_recorded(standin: StandIn, spans: InMemorySpanExporter) -> None:
    """A prompt that is sent twice is partly cached, and our own span says how much."""
    drive("sync", POST, standin.url)
    drive("sync", POST, standin.url)
    first, second = (attributes_of(span)[Attribute.CACHED_TOKENS] for span in spans.get_finished_spans())
    assert first == 0
    assert second == standin.ledger()["attempts"][1]["usage"]["cached_tokens"] > 0


@every_client
@every_way
def test_spans_hold_no_content(
    standin: StandIn, spans: InMemorySpanExporter, client: Client, way: Way
) -> None:
    """They hold neither the prompt nor the answer, even after an error."""
    drive(client, way, standin.url)
    standin.faults([{"status": 400}])
    with pytest.raises(openai.BadRequestError):
        drive(client, way, standin.url)
    for span in spans.get_finished_spans():
        assert SECRET not in span.to_json()


@pytest.mark.parametrize("request_", ["models", "cancel"])
def test_free_requests_have_no_span(standin: StandIn, spans: InMemorySpanExporter, request_: str) -> None:
    """Such as to look up a model or to cancel a batch."""
    with OpenAI(base_url=standin.url, api_key="any", max_retries=0) as client:
        with pytest.raises(openai.NotFoundError):
            if request_ == "models":
                client.models.retrieve("unknown")
            else:
                client.post("/batches/1/cancel", cast_to=httpx2.Response, body={})
    assert spans.get_finished_spans() == ()


@every_client
def test_client_made_before_set_up_is_instrumented(
    standin: StandIn, spans: InMemorySpanExporter, provider: TracerProvider, client: Client
) -> None:
    """Its attempts are recorded like those of any other client."""
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
    assert attributes_of(only(spans))[Attribute.ATTEMPT_STATUSES] == ("429", "200")


def test_clone_of_a_client_has_its_own_retries(standin: StandIn, spans: InMemorySpanExporter) -> None:
    """A clone by ``with_options`` shares the HTTP client, but not the number of retries."""
    standin.faults([LIMITED])
    with OpenAI(base_url=standin.url, api_key="any", max_retries=0) as client:
        with pytest.raises(openai.RateLimitError):
            CHAT.call(client.with_options(max_retries=4))
    assert attributes_of(only(spans))[Attribute.ATTEMPT_STATUSES] == ("429",) * 5


def test_azure_client_has_azure_as_provider(standin: StandIn, spans: InMemorySpanExporter) -> None:
    """Our own span names it, although paths of Azure hold the deployment."""
    client = openai.AzureOpenAI(base_url=standin.url, api_key="any", api_version="2024-10-21", max_retries=0)
    with client, contextlib.suppress(openai.APIStatusError):
        POST.call(client)
    attributes = attributes_of(only(spans))
    assert attributes[Attribute.PROVIDER] == "azure.ai.openai"
    assert attributes[Attribute.ATTEMPT_STATUSES] == statuses(standin)


class OwnSend(httpx2.Client):
    """A host's HTTP client that overrides ``send`` and calls its base."""

    def send(self, *args: Any, **kwargs: Any) -> httpx2.Response:
        return super().send(*args, **kwargs)


class OwnAsyncSend(httpx2.AsyncClient):
    """As above, for the asynchronous client."""

    async def send(self, *args: Any, **kwargs: Any) -> httpx2.Response:
        return await super().send(*args, **kwargs)


@pytest.mark.parametrize("own", [False, True], ids=["plain", "overriding"])
@every_client
def test_attempts_of_a_custom_http_client_count_once(
    standin: StandIn, spans: InMemorySpanExporter, client: Client, own: bool
) -> None:
    """They do so even if its class overrides ``send``."""
    kinds = {"sync": (httpx2.Client, OwnSend), "async": (httpx2.AsyncClient, OwnAsyncSend)}
    drive(
        client, CHAT, standin.url, http_client=kinds[client][False]()
    )  # the base class is wrapped from here
    spans.clear()
    standin.clear()
    standin.faults([{**LIMITED, "first_attempts": 1}])
    drive(client, CHAT, standin.url, http_client=kinds[client][own]())
    assert attributes_of(only(spans))[Attribute.ATTEMPT_STATUSES] == ("429", "200") == statuses(standin)


def test_redirect_is_no_second_attempt(standin: StandIn, spans: InMemorySpanExporter) -> None:
    """The HTTP client follows it within one attempt."""

    def redirect_once(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/embeddings":
            return httpx2.Response(307, headers={"location": "/elsewhere"})
        return httpx2.Response(200, json={"data": [], "model": EMBEDDING_MODEL, "object": "list"})

    http = httpx2.Client(transport=httpx2.MockTransport(redirect_once), follow_redirects=True)
    with OpenAI(base_url=standin.url, api_key="any", http_client=http) as client:
        client.post("/embeddings", cast_to=httpx2.Response, body={"model": EMBEDDING_MODEL})
    assert attributes_of(only(spans))[Attribute.ATTEMPT_STATUSES] == ("200",)


@pytest.mark.parametrize("way", [CHAT, POST], ids=lambda way: way.name)
def test_exit_during_a_call_is_recorded(spans: InMemorySpanExporter, way: Way) -> None:
    """SystemExit, as when a worker is stopped, passes, and the attempt has the status ``cancelled``."""

    def leave(request: httpx2.Request) -> httpx2.Response:
        raise SystemExit(1)

    with pytest.raises(SystemExit):
        drive("sync", way, closed_port(), http_client=httpx2.Client(transport=httpx2.MockTransport(leave)))
    attributes = attributes_of(only(spans))
    assert attributes[Attribute.ATTEMPT_STATUSES] == ("cancelled",)
    assert attributes[Attribute.ERROR_TYPE] == "SystemExit"


def test_other_requests_of_the_host_are_no_attempts(standin: StandIn, spans: InMemorySpanExporter) -> None:
    """This holds for requests by the same HTTP library, even while a call is prepared."""

    def key_from_elsewhere() -> str:
        with httpx2.Client() as http:
            http.get(standin.url.replace("/v1", "/_standin/health"))
        return "any"

    with OpenAI(base_url=standin.url, api_key=key_from_elsewhere) as client:
        CHAT.call(client)
    assert key_from_elsewhere() == "any"
    assert attributes_of(only(spans))[Attribute.ATTEMPT_STATUSES] == ("200",)


def test_call_within_a_call_has_its_own_attempts(standin: StandIn, spans: InMemorySpanExporter) -> None:
    """A call that is made while another is prepared has its own span too."""
    standin.faults([{**LIMITED, "match": {"path": "/embeddings"}, "first_attempts": 1}])
    inner = next(way for way in WAYS if way.name == "post embeddings")

    def key_after_a_call() -> str:
        drive("sync", inner, standin.url)
        return "any"

    with OpenAI(base_url=standin.url, api_key=key_after_a_call) as client:
        CHAT.call(client)
    by_name = {
        span.name: attributes_of(span)[Attribute.ATTEMPT_STATUSES] for span in spans.get_finished_spans()
    }
    assert by_name == {f"embeddings {EMBEDDING_MODEL}": ("429", "200"), f"chat {CHAT_MODEL}": ("200",)}


def test_call_while_a_stream_is_open_has_its_own_attempts(
    standin: StandIn, spans: InMemorySpanExporter
) -> None:
    """The stream keeps its attempts until it is read."""
    standin.faults([{**LIMITED, "first_total": 1}])
    with OpenAI(base_url=standin.url, api_key="any") as client:
        stream = client.chat.completions.create(**CHAT_BODY, stream=True)
        POST.call(client)
        for _ in stream:
            pass
    by_scope = {
        span.instrumentation_scope.name: attributes_of(span)[Attribute.ATTEMPT_STATUSES]
        for span in spans.get_finished_spans()
        if span.instrumentation_scope
    }
    assert by_scope == {GENAI_SCOPE: ("429", "200"), OPENAI_SCOPE: ("200",)}


def test_official_span_takes_the_attempts_of_one_call(
    standin: StandIn, spans: InMemorySpanExporter, provider: TracerProvider
) -> None:
    """A second call below the same span gets a span of our own."""
    standin.faults([{**LIMITED, "first_total": 1}])
    with provider.get_tracer(GENAI_SCOPE).start_as_current_span("chat"):
        drive("sync", POST, standin.url)
        drive("sync", POST, standin.url)
    second, first = (attributes_of(span)[Attribute.ATTEMPT_STATUSES] for span in spans.get_finished_spans())
    assert (first, second) == (("429", "200"), ("200",))


def test_own_span_covers_the_call(
    standin: StandIn, spans: InMemorySpanExporter, provider: TracerProvider
) -> None:
    """It is a child of the current span, lasts as long as the call, and is not current afterwards."""
    standin.faults([{"delay_ms": 50}])
    with provider.get_tracer("host").start_as_current_span("host") as host:
        drive("sync", POST, standin.url)
        assert trace.get_current_span() is host
    span = next(span for span in spans.get_finished_spans() if span.name != "host")
    assert span.parent is not None and span.parent.span_id == host.get_span_context().span_id
    assert duration(span) >= 0.05


@pytest.mark.parametrize("way", [CHAT, POST], ids=lambda way: way.name)
def test_concurrent_tasks_keep_their_own_attempts(
    standin: StandIn, spans: InMemorySpanExporter, way: Way
) -> None:
    """Each of sixty concurrent tasks has the attempts that the ledger has of it."""
    standin.faults([{**LIMITED, "rate": 0.4}], seed=3)

    async def gather() -> None:
        async with AsyncOpenAI(base_url=standin.url, api_key="any", max_retries=9) as client:
            bodies = [
                {**CHAT_BODY, "messages": [{"role": "user", "content": f"number {n}"}]} for n in range(60)
            ]
            if way is CHAT:
                await asyncio.gather(*(client.chat.completions.create(**body) for body in bodies))
            else:
                posts = (
                    client.post("/chat/completions", cast_to=httpx2.Response, body=body) for body in bodies
                )
                await asyncio.gather(*posts)

    asyncio.run(gather())
    compare_with_ledger(spans, standin, calls=60)


def test_concurrent_threads_keep_their_own_attempts(standin: StandIn, spans: InMemorySpanExporter) -> None:
    """Threads that share a client do not mix their attempts."""
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
    """Compare every call with the attempts that the ledger has for its request key."""
    by_call: dict[str, list[str]] = {}
    for attempt in standin.ledger()["attempts"]:
        by_call.setdefault(attempt["request_key"], []).append(str(attempt["status"]))
    attributes = [attributes_of(span)[Attribute.ATTEMPT_STATUSES] for span in spans.get_finished_spans()]
    assert len(attributes) == len(by_call) == calls
    assert sorted(attributes) == sorted(tuple(statuses) for statuses in by_call.values())
    assert sum(map(len, attributes)) > calls


def test_calls_work_without_a_recording_provider(standin: StandIn) -> None:
    """A no-op provider changes nothing about the calls."""
    attempts.instrument(trace.NoOpTracerProvider())
    try:
        drive("sync", POST, standin.url)
        drive("sync", CHAT, standin.url)
    finally:
        attempts.uninstrument()
    assert statuses(standin) == ("200", "200")


@pytest.mark.parametrize("hook", ["on_start", "on_end"])
def test_failing_span_processor_does_not_affect_calls(
    standin: StandIn, spans: InMemorySpanExporter, provider: TracerProvider, hook: str
) -> None:
    """The host still gets its answers and its own exceptions."""

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


def test_instrumenting_twice_counts_once(
    standin: StandIn, spans: InMemorySpanExporter, provider: TracerProvider
) -> None:
    """A second ``instrument`` changes nothing."""
    attempts.instrument(provider)
    drive("sync", POST, standin.url)
    assert attributes_of(only(spans))[Attribute.ATTEMPTS] == 1


def test_uninstrument_restores_the_original_methods(standin: StandIn, provider: TracerProvider) -> None:
    """They are the same objects as before."""
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
