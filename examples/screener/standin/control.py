"""``/_standin``: read the ledger and set faults, for tests and the demo."""

from flask import Blueprint, Response, jsonify, request
from werkzeug.exceptions import BadRequest

from .faults import FaultPlan, Faults
from .ledger import Ledger, as_json
from .memory import Memory


def control(ledger: Ledger, faults: Faults, memory: Memory) -> Blueprint:
    """Return the blueprint that serves one stand-in's ledger and faults."""
    blueprint = Blueprint("standin", __name__)

    @blueprint.get("/health")
    def health() -> Response:
        return jsonify(status="ok")

    @blueprint.get("/ledger")
    def read_ledger() -> Response:
        """Return the attempts after ``?since=SEQ``, and their totals."""
        since = request.args.get("since", "0")
        if not since.isdecimal():
            raise BadRequest(f"since: {since!r} is not a sequence number")
        return jsonify(as_json(ledger.since(int(since))))

    @blueprint.delete("/ledger")
    def clear_ledger() -> Response:
        """Clear attempts, their numbers, the counts of fault rules, cached prompts and stored responses."""
        ledger.clear()
        faults.restart()
        memory.clear()
        return Response(status=204)

    @blueprint.get("/faults")
    def read_faults() -> Response:
        return jsonify(faults.plan.model_dump(exclude_unset=True))

    @blueprint.put("/faults")
    def set_faults() -> Response:
        try:
            faults.replace(FaultPlan.from_json(request.get_data()))
        except ValueError as error:
            raise BadRequest(str(error)) from None
        return read_faults()

    @blueprint.delete("/faults")
    def reset_faults() -> Response:
        """Restore the rules of the start."""
        faults.reset()
        return read_faults()

    @blueprint.errorhandler(BadRequest)
    def explain(error: BadRequest) -> tuple[Response, int]:
        return jsonify(error=error.description), 400

    return blueprint
