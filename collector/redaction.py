"""Write collector/redaction.yaml, the attributes that pass through the Collector; `make docs` runs it.

Everything else is removed from spans, events and log records, and from their resources and scopes. An
attribute is kept if its values come from code or are counts, times and codes; never if it may contain what a
person wrote, uploaded or is called: prompts and completions, messages of exceptions, statements, paths of
URLs, addresses of clients, users.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final

from telemetry.conventions import Attribute

FILE: Final = Path(__file__).with_suffix(".yaml")
RESOURCE: Final = """
    service.name service.namespace service.version service.instance.id deployment.environment.name
    deployment.environment host.name host.id container.id process.pid process.runtime.name
    process.runtime.version telemetry.sdk.name telemetry.sdk.language telemetry.sdk.version
    telemetry.distro.name telemetry.distro.version telemetry.auto.version
    k8s.namespace.name k8s.pod.name k8s.deployment.name k8s.container.name k8s.node.name
    cloud.provider cloud.region cloud.availability_zone
"""
GENAI: Final = """
    gen_ai.system gen_ai.output.type gen_ai.token.type gen_ai.response.id gen_ai.response.finish_reasons
    gen_ai.request.choice.count gen_ai.request.encoding_formats gen_ai.request.frequency_penalty
    gen_ai.request.max_tokens gen_ai.request.presence_penalty gen_ai.request.seed gen_ai.request.stream
    gen_ai.request.temperature gen_ai.request.top_k gen_ai.request.top_p
    gen_ai.response.time_to_first_chunk gen_ai.embeddings.dimension.count
    openai.api.type openai.response.system_fingerprint
"""
"""Of the OpenAI instrumentation, beside what `telemetry.conventions` names."""
HTTP: Final = """
    http.route http.method http.request.method http.status_code http.response.status_code http.scheme
    http.flavor url.scheme network.protocol.name network.protocol.version network.transport
    server.address server.port net.host.port http.request.body.size http.response.body.size
"""
"""Of the instrumentations of Flask and of HTTP clients, in the old and the new conventions."""
SQL: Final = """
    db.system db.system.name db.name db.namespace db.operation db.operation.name db.collection.name
    db.response.status_code db.response.returned_rows
"""
"""Of the SQLAlchemy instrumentation."""
EVENTS: Final = "exception.type exception.escaped code.function.name code.line.number thread.name"
"""Of exceptions and of log records."""
EMAIL: Final = r"[\w.+-]+@[\w-]+(\.[\w-]+)+"
"""Masked in the values that are kept, too."""

HEAD: Final = """\
# Layer that must not be missing: which attributes pass. Written by `make docs`, from collector/redaction.py
# and telemetry/conventions: change those.
"""


def allowed_keys() -> list[str]:
    """Return the names of all attributes that pass, sorted."""
    ours = {value for name, value in vars(Attribute).items() if name.isupper()}
    return sorted(ours.union(*(group.split() for group in (RESOURCE, GENAI, HTTP, SQL, EVENTS))))


def page() -> str:
    """Return the file."""
    return HEAD + "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "processors:"
    yield "  redaction:"
    yield "    allow_all_keys: false"
    yield "    summary: silent"
    yield "    redact_all_types: true"
    yield f"    blocked_values: ['{EMAIL}']"
    yield "    allowed_keys:"
    yield from (f"      - {key}" for key in allowed_keys())


if __name__ == "__main__":
    FILE.write_text(page(), encoding="utf-8")
