"""Reading uploaded documents."""

from __future__ import annotations

import pytest

from examples.screener.documents import UnreadableDocument, extract_text
from tests.screener.makers import damaged_pdf, pdf, resume_text, word


def test_text_of_a_pdf_is_read_line_by_line() -> None:
    """Its lines are in reading order."""
    assert extract_text(pdf("Ada Abel\nPython"), "a.PDF").split() == ["Ada", "Abel", "Python"]


def test_tables_of_a_docx_are_read_in_place() -> None:
    """Paragraphs and tables are in order; each row is one line."""
    data = word("Ada Abel", [["2019", "Baker"], ["2021", "Engineer"]])
    assert extract_text(data, "a.docx").splitlines() == ["Ada Abel", "2019 | Baker", "2021 | Engineer"]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "cp1252"])
def test_text_files_are_read_in_the_usual_encodings(encoding: str) -> None:
    """A text file may come from any of the usual editors."""
    assert extract_text("Zoë Müller – Café".encode(encoding), "a.txt") == "Zoë Müller – Café"


@pytest.mark.parametrize(
    ("data", "file_name", "reason"),
    [
        (damaged_pdf(), "a.pdf", "damaged"),
        (b"", "a.pdf", "damaged"),
        (pdf(""), "a.pdf", "no text"),
        (pdf(resume_text(0), password="secret"), "a.pdf", "password"),
        (b"PK\x03\x04 nothing", "a.docx", "damaged"),
        (b"  \n", "a.txt", "no text"),
        (b"\x7fELF\x00\x01", "a.txt", "no text file"),
        (b"anything", "a.odt", "only PDF, DOCX and TXT"),
    ],
)
def test_unreadable_file_is_reported_with_its_reason(data: bytes, file_name: str, reason: str) -> None:
    """The message is one line that begins with the name of the file."""
    with pytest.raises(UnreadableDocument, match=reason) as caught:
        extract_text(data, file_name)
    message = str(caught.value)
    assert message.startswith(f"{file_name}: ")
    assert "\n" not in message
