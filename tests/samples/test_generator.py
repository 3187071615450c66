"""Generated résumés, for analyses larger than the committed samples allow."""

import io
from collections import Counter
from itertools import islice

import pytest
from docx import Document
from pypdf import PdfReader

from examples.screener.samples import generate


@pytest.fixture(scope="module")
def many() -> list[tuple[str, bytes]]:
    return list(generate(250))


def test_types_are_mixed(many: list[tuple[str, bytes]]) -> None:
    """Of 250 résumés 70 % are text files, 20 % Word documents and 10 % PDFs."""
    assert Counter(name.rsplit(".")[-1] for name, _ in many) == {"txt": 175, "docx": 50, "pdf": 25}


def test_all_are_distinct(many: list[tuple[str, bytes]]) -> None:
    """No two have the same name or the same content."""
    assert len({name for name, _ in many}) == len({content for _, content in many}) == 250


def test_seed_determines_the_series(many: list[tuple[str, bytes]]) -> None:
    """The same seed gives the same series, whatever its length; another seed gives another one."""
    assert list(generate(30)) == many[:30]
    assert not {content for _, content in generate(30, seed=1)} & {content for _, content in many}


def test_resumes_are_generated_lazily() -> None:
    """Only the résumés that are consumed are made."""
    assert len(list(islice(generate(1_000_000), 3))) == 3


def test_zero_resumes_are_allowed() -> None:
    """The series is empty then."""
    assert list(generate(0)) == []


def test_all_can_be_read(many: list[tuple[str, bytes]]) -> None:
    """Every file has the type of its name, and contains the address of its candidate."""
    for number, (name, content) in enumerate(many, start=1):
        assert f"candidate.{number}@example." in _text(name, content), name


def test_lengths_vary(many: list[tuple[str, bytes]]) -> None:
    """The longest text is at least five times the shortest."""
    lengths = [len(content) for name, content in many if name.endswith(".txt")]

    assert max(lengths) > 5 * min(lengths)


def _text(name: str, content: bytes) -> str:
    if name.endswith(".pdf"):
        return "".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)
    if name.endswith(".docx"):
        return "\n".join(paragraph.text for paragraph in Document(io.BytesIO(content)).paragraphs)
    return content.decode("utf-8-sig")
