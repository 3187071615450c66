"""The Flask application: takes an attempt, asks for its fault and its answer, writes the ledger, replies."""

import time
from collections.abc import Callable, Iterator
from typing import Any

from flask import Flask, Response, jsonify, request

from . import chat, embeddings
from .answer import Answer
from .calls import Call, arrived, fingerprint
from .control import control
from .errors import ApiError, injected
from .faults import Fault, FaultPlan, Faults
from .ledger import Ledger
from .limits import RateLimits
from .usage import PromptCache

Operation = Callable[[Call, int, Fault, PromptCache], Answer]
"""Answers an attempt (call, its number, fault, cache) or raises `ApiError`."""

OPERATIONS: dict[str, tuple[str, Operation]] = {
    "/v1/chat/completions": ("chat", chat.answer),
    "/v1/embeddings": ("embeddings", embeddings.answer),
}


def create_app(plan: FaultPlan | None = None) -> Flask:
    """Create a stand-in with an empty ledger.

    Args:
        plan: The faults to start with; none by default.
    """
    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    ledger, faults, cache, limits = Ledger(), Faults(plan or FaultPlan()), PromptCache(), RateLimits()
    app.register_blueprint(control(ledger, faults, cache), url_prefix="/_standin")

    @app.route("/v1/<path:_>", methods=["GET", "POST", "DELETE"])
    def serve(_: str) -> Response:
        return _serve(ledger, faults, cache, limits)

    return app


def _serve(ledger: Ledger, faults: Faults, cache: PromptCache, limits: RateLimits) -> Response:
    started = time.time()
    name, operation = OPERATIONS.get(request.path if request.method == "POST" else "", ("unknown", _unknown))
    call = _read(name)
    attempt = ledger.next_attempt(call.key)
    fault = faults.for_attempt(call, attempt)
    answer = _answer(operation, call, attempt, fault, cache)
    # Written before anything is sent: whoever has an answer, or gave up waiting, finds it in the ledger.
    ledger.record(call, attempt, started, fault, answer)
    if fault.delay_ms:
        time.sleep(fault.delay_ms / 1000)
    response = _error_response(answer, fault) if isinstance(answer, ApiError) else _response(answer)
    response.headers.update(_headers(call, attempt, fault, answer, limits))
    response.headers["openai-processing-ms"] = str(round(1000 * (time.time() - started)))
    return response


def _read(operation: str) -> Call:
    body = request.get_json(force=True, silent=True)
    secret = request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
    return arrived(
        request.path, operation, request.get_data(), body if isinstance(body, dict) else {}, secret
    )


def _answer(
    operation: Operation, call: Call, attempt: int, fault: Fault, cache: PromptCache
) -> Answer | ApiError:
    if fault.status is not None:
        wait = fault.wait_ms()
        return injected(fault.status, call.model, None if wait is None else f"{wait:g}ms")
    if not call.authorization:
        return ApiError(401, "You didn't provide an API key.")
    try:
        return operation(call, attempt, fault, cache)
    except ApiError as error:
        return error


def _unknown(call: Call, attempt: int, fault: Fault, cache: PromptCache) -> Answer:
    raise ApiError(404, f"Invalid URL ({request.method} {call.path})")


def _response(answer: Answer) -> Response:
    if answer.body is not None:
        return jsonify(answer.body)
    return Response(_events(answer), mimetype="text/event-stream", headers={"cache-control": "no-cache"})


def _events(answer: Answer) -> Iterator[str]:
    for event in answer.events:
        yield f"data: {event}\n\n"


def _error_response(error: ApiError, fault: Fault) -> Response:
    response = jsonify(error.body)
    response.status_code = error.status
    response.headers.update(fault.retry_after_headers())
    return response


def _headers(
    call: Call, attempt: int, fault: Fault, answer: Answer | ApiError, limits: RateLimits
) -> dict[str, Any]:
    fixed = {
        "x-request-id": f"req_{fingerprint(f'{call.key}/{attempt}'.encode())}",
        "openai-version": "2020-10-01",
    }
    if isinstance(answer, Answer):
        return {**fixed, **limits.headers(call.model, answer.usage.total_tokens)}
    wait = f"{fault.wait_ms() or 0:g}ms" if answer.status == 429 else None
    return {**fixed, **limits.headers(call.model, 0, exhausted_for=wait)}
