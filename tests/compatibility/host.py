"""A small host application, for any versions of its packages; prints its response as JSON.

One request analyses one candidate: a plain chat call, a streamed one and an embedding, between two queries.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import flask
import openai
import sqlalchemy as sa

import telemetry

if os.environ.get("HOST_EXPORTS"):  # the host's own provider, with an exporter that removes no personal data
    from opentelemetry import trace
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter, SimpleSpanProcessor

    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(ConsoleSpanExporter(out=sys.stderr)))
    trace.set_tracer_provider(provider)

engine = sa.create_engine(os.environ["HOST_DATABASE"])
app = flask.Flask("host")
app.config["SECRET_KEY"] = "secret"
telemetry.Telemetry(app, engine=engine)


@app.get("/analyses/<int:number>")
def analyse(number: int) -> dict[str, Any]:
    with telemetry.run("analysis", candidates=1), telemetry.stage("ranking"), engine.connect() as connection:
        return {
            "number": connection.scalar(sa.text("SELECT CAST(:number AS INTEGER)"), {"number": number}),
            "chat": ask(stream=False).choices[0].message.content,
            "stream": "".join(words(chunk) for chunk in ask(stream=True)),
            "embedding": embed(**TEXT).data[0].embedding,
        }


TEXT: Any = {"model": "text-embedding-3-small", "input": ["one"], "encoding_format": "float"}


def ask(*, stream: bool) -> Any:
    question: Any = [{"role": "user", "content": "Rank this candidate."}]
    return chat(model="gpt-4o-mini", messages=question, stream=stream)


def words(chunk: Any) -> str:
    return (getattr(chunk.choices[0].delta, "content", None) or "") if chunk.choices else ""


client = openai.OpenAI()
chat: Any = client.chat.completions.create
embed: Any = client.embeddings.create

if __name__ == "__main__":
    print(json.dumps(app.test_client().get("/analyses/7").get_json()))
