"""The committed sample documents have the properties that the example and its tests need."""

import hashlib
import io
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from docx import Document
from docx.table import Table
from docx.text.paragraph import Paragraph
from pypdf import PdfReader
from pypdf.errors import PyPdfError

from examples.screener.samples import jd_path, resume_paths
from examples.screener.samples.files import CORRUPT, DUPLICATE, DUPLICATE_OF, HERE, LARGE, RESUMES
from examples.screener.samples.make_samples import make_samples

READABLE = [path for path in resume_paths() if path.name != CORRUPT]


def words_in(content: bytes, kind: str) -> str:
    """Return the text of a document, with single spaces between words."""
    if kind == ".pdf":
        text = "\n".join(page.extract_text() for page in PdfReader(io.BytesIO(content)).pages)
    elif kind == ".docx":
        text = "\n".join(_lines(Document(io.BytesIO(content)).iter_inner_content()))
    else:
        text = content.decode("utf-8-sig")
    return " ".join(text.split())


def _lines(blocks: Iterable[Paragraph | Table]) -> list[str]:
    lines: list[str] = []
    for block in blocks:
        if isinstance(block, Paragraph):
            lines.append(block.text)
        else:
            for row in block.rows:
                for cell in row.cells:
                    lines += _lines(cell.iter_inner_content())
    return lines


def text_of(path: Path) -> str:
    return words_in(path.read_bytes(), path.suffix)


@pytest.fixture(scope="module")
def made_again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("samples")
    make_samples(folder)
    return folder


def test_there_are_at_least_24_different_resumes_of_three_types() -> None:
    """At least 10 PDF, 8 DOCX and 6 TXT files can be read and differ from each other."""
    different = {path.read_bytes(): path.suffix for path in READABLE}
    count = Counter(different.values())

    assert count[".pdf"] >= 10 and count[".docx"] >= 8 and count[".txt"] >= 6


@pytest.mark.parametrize("path", [jd_path(), *READABLE], ids=lambda path: path.name)
def test_each_document_is_genuine(path: Path) -> None:
    """The usual library of its type opens each file, and extracts words."""
    signature = {".pdf": b"%PDF-", ".docx": b"PK\x03\x04", ".txt": b""}[path.suffix]

    assert path.read_bytes().startswith(signature)
    assert len(text_of(path).split()) >= 15


def test_lengths_vary() -> None:
    """The shortest résumé has a few words, and the longest six pages."""
    lengths = {path.name: len(text_of(path)) for path in READABLE}
    pages = [len(PdfReader(path).pages) for path in READABLE if path.suffix == ".pdf"]

    assert min(lengths.values()) < 300
    assert max(lengths.values()) > 7000
    assert min(pages) == 1 and max(pages) == 6


def test_letters_beyond_ascii_survive() -> None:
    """Names and words of other languages and scripts are extracted unchanged."""
    text = " ".join(text_of(path) for path in READABLE)

    for word in ("Jürgen Großmann", "Łukasz Wiśniewski", "渡辺 健二", "Надежда", "Siobhán", "Formación"):
        assert word in text


def test_one_resume_exists_twice() -> None:
    """Exactly one pair of files has the same hash: the duplicate and its original."""
    names: dict[str, list[str]] = {}
    for path in resume_paths():
        names.setdefault(hashlib.sha256(path.read_bytes()).hexdigest(), []).append(path.name)

    assert [sorted(pair) for pair in names.values() if len(pair) > 1] == [sorted([DUPLICATE, DUPLICATE_OF])]


def test_the_corrupt_pdf_cannot_be_read() -> None:
    """It begins as a PDF, but pypdf cannot read it."""
    path = RESUMES / CORRUPT

    assert path in resume_paths()
    assert path.read_bytes().startswith(b"%PDF-")
    with pytest.raises(PyPdfError):
        text_of(path)


def test_the_large_pdf_is_large_because_of_a_picture() -> None:
    """One file has more than five megabytes, with a real picture and readable text."""
    path = RESUMES / LARGE
    pictures = [picture.image for page in PdfReader(path).pages for picture in page.images]

    assert 5 * 1024 * 1024 < path.stat().st_size < 7_000_000
    assert [picture.size for picture in pictures if picture] == [(2200, 1650)]
    assert "Tomás Reyes" in text_of(path)


def test_fit_to_the_job_description_varies() -> None:
    """Backend engineers share more words with it than testers, and testers more than pastry chefs."""
    wanted = set(text_of(jd_path()).lower().split())

    def fit(name: str) -> float:
        words = set(text_of(RESUMES / name).lower().split())
        return len(words & wanted) / len(words)

    assert fit("amara-okafor.pdf") > fit("nadia-petrova.docx") > fit("claire-dubois.pdf")


def test_committed_files_equal_generated_ones(made_again: Path) -> None:
    """Generating the samples again gives the same files with the same words."""
    committed = {path.relative_to(HERE) for path in [jd_path(), HERE / "jd.txt", *resume_paths()]}

    assert committed == {path.relative_to(made_again) for path in made_again.rglob("*.*")}
    for path in committed - {(RESUMES / CORRUPT).relative_to(HERE)}:
        assert text_of(HERE / path) == text_of(made_again / path), path


def test_generation_is_deterministic(made_again: Path, tmp_path: Path) -> None:
    """A process with another hash seed and time zone writes the same bytes."""
    command = [sys.executable, "-m", "examples.screener.samples.make_samples", str(tmp_path)]
    elsewhere = {**os.environ, "PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo"}
    subprocess.run(command, check=True, env=elsewhere, cwd=HERE.parents[2], capture_output=True)

    for path in made_again.rglob("*.*"):
        assert path.read_bytes() == (tmp_path / path.relative_to(made_again)).read_bytes(), path.name
