"""The text of an uploaded document: PDF, DOCX or TXT."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import PurePath

import docx
import pypdf
from docx.document import Document
from docx.table import Table, _Cell
from docx.text.paragraph import Paragraph

KINDS = (".pdf", ".docx", ".txt")
"""The file name endings that can be read."""


class UnreadableDocument(Exception):
    """A document has no readable text; the message is one line for the user."""


def extract_text(data: bytes, file_name: str) -> str:
    """Return the text of a document, read as the kind that its name ends in.

    Raises:
        UnreadableDocument: the type is unknown, the file is damaged or locked, or it has no text.
    """
    readers = {".pdf": _pdf, ".docx": _docx, ".txt": _txt}
    reader = readers.get(PurePath(file_name).suffix.lower())
    if reader is None:
        raise UnreadableDocument(f"{file_name}: only PDF, DOCX and TXT files can be read")
    try:
        text = reader(data)
    except UnreadableDocument as error:
        raise UnreadableDocument(f"{file_name}: {error}") from error
    except Exception as error:  # the parsers raise many kinds of errors for damaged files
        raise UnreadableDocument(f"{file_name}: the file is damaged ({type(error).__name__})") from error
    # PostgreSQL stores no NUL characters; PDFs do contain them.
    text = text.replace("\x00", "").strip()
    if not text:
        raise UnreadableDocument(f"{file_name}: the file holds no text (a scan?)")
    return text


def _pdf(data: bytes) -> str:
    reader = pypdf.PdfReader(io.BytesIO(data))
    if reader.is_encrypted and not reader.decrypt(""):
        raise UnreadableDocument("the file is locked with a password")
    return "\n".join(page.extract_text() for page in reader.pages)


def _docx(data: bytes) -> str:
    return "\n".join(_lines(docx.Document(io.BytesIO(data))))


def _lines(part: Document | _Cell) -> Iterator[str]:
    """Yield paragraphs and tables in reading order; a table row becomes one line."""
    for block in part.iter_inner_content():
        if isinstance(block, Paragraph):
            yield block.text
        else:
            yield from _rows(block)


def _rows(table: Table) -> Iterator[str]:
    for row in table.rows:
        # A merged cell is listed once for each column it covers.
        cells = dict.fromkeys(cell._tc for cell in row.cells)
        yield " | ".join("\n".join(_lines(_Cell(tc, table))) for tc in cells)


def _txt(data: bytes) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        return data.decode("utf-16")
    if b"\x00" in data:
        raise UnreadableDocument("this is no text file")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        return data.decode("cp1252", errors="replace")
