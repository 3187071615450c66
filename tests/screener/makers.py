"""Makes small documents, serves the screener, and reads its rows."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from itertools import cycle
from threading import Thread
from typing import Any

import docx
from flask import Flask
from reportlab.lib.pagesizes import A4  # type: ignore[import-untyped]
from reportlab.pdfgen.canvas import Canvas  # type: ignore[import-untyped]
from werkzeug.serving import make_server

from examples.screener.models import db

JD = """Senior Backend Engineer

We look for a backend engineer who builds reliable services in Python.

Requirements
- Python: many years of Python in production, Flask or Django, testing with pytest.
- PostgreSQL: relational modelling, query plans, migrations of large tables.
- Distributed systems: message queues such as Kafka, idempotent consumers, caching.
- Operations: Docker, Kubernetes, monitoring, on-call and incident response.
"""

SKILLS = [
    "Baked bread and decorated cakes in a pastry kitchen",
    "Python in production with Flask, Django and pytest testing",
    "PostgreSQL relational modelling, query plans and migrations of large tables",
    "Distributed systems with message queues, Kafka, idempotent consumers and caching",
    "Operations with Docker, Kubernetes, monitoring, on-call and incident response",
]
NAMES = ["Ada Abel", "Ben Bauer", "Cleo Costa", "Dara Dunne", "Emil Ek"]


def resume_text(index: int) -> str:
    """Return a résumé; the higher the index (0 to 4), the better it matches the job description."""
    lines = "\n".join(SKILLS[: index % 5 + 1])
    number = f"\nReference {index}" if index >= 5 else ""
    return f"{NAMES[index % 5]}\nBackend engineer\n{lines}{number}"


def pdf(text: str, password: str = "") -> bytes:
    """Return a PDF with the lines of a text."""
    target = io.BytesIO()
    canvas = Canvas(target, pagesize=A4, invariant=1, encrypt=password or None)
    for number, line in enumerate(text.splitlines()):
        canvas.drawString(60, 780 - 16 * number, line)
    canvas.save()
    return target.getvalue()


def word(text: str, rows: list[list[str]] | None = None) -> bytes:
    """Return a DOCX with a paragraph for each line, and a table of `rows` after them."""
    document = docx.Document()
    for line in text.splitlines():
        document.add_paragraph(line)
    if rows:
        table = document.add_table(rows=len(rows), cols=len(rows[0]))
        for row, values in zip(table.rows, rows, strict=True):
            for cell, value in zip(row.cells, values, strict=True):
                cell.text = value
    target = io.BytesIO()
    document.save(target)
    return target.getvalue()


MAKERS: dict[str, Callable[[str], bytes]] = {"pdf": pdf, "docx": word, "txt": str.encode}
"""A function for each type of file that can be read."""


def damaged_pdf() -> bytes:
    """Return a PDF that is cut off in its first lines."""
    return pdf(resume_text(1))[:60]


def resumes(count: int) -> list[tuple[str, bytes]]:
    """Return different résumés as PDF, DOCX and TXT in turn, each with its file name."""
    files = []
    for index, kind in zip(range(count), cycle(MAKERS), strict=False):
        files.append((f"resume-{index}.{kind}", MAKERS[kind](resume_text(index))))
    return files


@contextmanager
def served(app: Flask) -> Iterator[str]:
    """Serve the app by a real HTTP server on a free port, and yield its address."""
    server = make_server("127.0.0.1", 0, app, threaded=True)
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def change(app: Flask, **settings: Any) -> None:
    """Change settings of a running app."""
    app.extensions["screener"] = replace(app.extensions["screener"], **settings)


def rows(app: Flask, statement: str) -> list[dict[str, object]]:
    """Return the rows of a query as dictionaries."""
    with app.app_context():
        return [dict(row) for row in db.session.execute(db.text(statement)).mappings()]
