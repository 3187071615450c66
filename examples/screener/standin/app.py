"""The Flask application: receives an attempt, applies faults, answers, and writes the ledger."""

import time
from dataclasses import dataclass, field
from typing import Any

from flask import Flask, Response, jsonify, request

from . import azure
from .answer import Answer
from .calls import Call, arrived, fingerprint
from .control import control
from .errors import ApiError, injected
from .faults import Fault, FaultPlan, Faults
from .ledger import Ledger
from .limits import RateLimits
from .memory import Memory
from .operations import OPERATIONS, Operation
from .stream import send, send_half


@dataclass(frozen=True)
class _Service:
    """The state of one stand-in."""

    faults: Faults
    ledger: Ledger = field(default_factory=Ledger)
    memory: Memory = field(default_factory=Memory)
    limits: RateLimits = field(default_factory=RateLimits)


def create_app(plan: FaultPlan | None = None) -> Flask:
    """Create a stand-in with an empty ledger.

    Args:
        plan: The faults to start with; none by default.
    """
    app = Flask(__name__)
    app.json.sort_keys = False  # type: ignore[attr-defined]  # the default provider has it
    service = _Service(Faults(plan or FaultPlan()))
    app.register_blueprint(control(service.ledger, service.faults, service.memory), url_prefix="/_standin")
    for operation in OPERATIONS:
        _mount(app, service, operation)
    return app


def _mount(app: Flask, service: _Service, operation: Operation) -> None:
    def serve(**_: str) -> Response:
        return _serve(service, operation)

    for path in operation.paths:
        app.add_url_rule(path, operation.name, serve, methods=operation.methods)


def _serve(service: _Service, operation: Operation) -> Response:
    started = time.time()
    call = arrived(request, operation.name)
    attempt = service.ledger.next_attempt(call.key)
    fault = service.faults.for_attempt(call, attempt)
    answer = _answer(operation, call, attempt, fault, service.memory)
    # Written before anything is sent: clients that got an answer, or gave up, find it in the ledger.
    service.ledger.record(call, attempt, started, fault, answer)
    if fault.delay_ms:
        time.sleep(fault.delay_ms / 1000)
    response = _error_response(answer, fault) if isinstance(answer, ApiError) else _response(answer, fault)
    response.headers.update(_headers(call, attempt, fault, answer, service.limits))
    response.headers["openai-processing-ms"] = str(round(1000 * (time.time() - started)))
    return response


def _answer(
    operation: Operation, call: Call, attempt: int, fault: Fault, memory: Memory
) -> Answer | ApiError:
    if fault.status is not None:
        wait = fault.wait_ms()
        return injected(fault.status, call.model, None if wait is None else f"{wait:g}ms", fault.code)
    if not call.authorization:
        return ApiError(401, "You didn't provide an API key.")
    try:
        azure.check_version(request)
        return operation.answer(call, attempt, fault, memory).cut_off(
            fault.cut_stream_after, fault.break_body
        )
    except ApiError as error:
        return error


def _response(answer: Answer, fault: Fault) -> Response:
    if answer.body is not None:
        response = jsonify(answer.body)
        if answer.cut:
            response.response = send_half(response.get_data())
        return response
    events = send(answer, fault.chunk_delay_ms)
    return Response(events, mimetype="text/event-stream", headers={"cache-control": "no-cache"})


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
        tokens = answer.usage.total_tokens if answer.usage else 0
        return {**fixed, **limits.headers(call.model, tokens)}
    is_rate_limited = answer.status == 429 and fault.code is None
    wait = f"{fault.wait_ms() or 0:g}ms" if is_rate_limited else None
    return {**fixed, **limits.headers(call.model, 0, exhausted_for=wait)}
