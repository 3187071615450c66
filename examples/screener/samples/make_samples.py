"""Writes the sample documents: ``python -m examples.screener.samples.make_samples [folder]``.

Equal sources give equal bytes, so running it again changes nothing under version control.
"""

import sys
from dataclasses import replace
from pathlib import Path

from .as_docx import docx_bytes
from .as_pdf import pdf_bytes
from .as_text import text_bytes
from .files import CORRUPT, DUPLICATE, DUPLICATE_OF, HERE
from .resume import Resume, load, load_people


def make_samples(folder: Path) -> list[Path]:
    """Write the job description and all résumés below `folder`, and return their paths."""
    jd = load(HERE / "jd.toml")
    contents = {
        "jd.docx": docx_bytes(replace(jd, layout="headings")),
        "jd.txt": text_bytes(replace(jd, layout="plain")),
    }
    for person in load_people():
        contents[f"resumes/{person.file}"] = document_bytes(person)
    contents[f"resumes/{DUPLICATE}"] = contents[f"resumes/{DUPLICATE_OF}"]
    contents[f"resumes/{CORRUPT}"] = damaged(contents[f"resumes/{CORRUPT}"])
    (folder / "resumes").mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return [folder / name for name in contents]


def document_bytes(resume: Resume) -> bytes:
    """The résumé in the type that its file name ends in."""
    render = {".pdf": pdf_bytes, ".docx": docx_bytes, ".txt": text_bytes}[Path(resume.file).suffix]
    return render(resume)


def damaged(pdf: bytes) -> bytes:
    """Return the PDF as after a broken upload: the first part intact, then random bytes, and no end."""
    third = len(pdf) // 3
    rubbish = bytes(byte ^ 0x5A for byte in pdf[third : 2 * third])
    return pdf[:third] + rubbish


if __name__ == "__main__":
    written = make_samples(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE)
    print(f"{len(written)} files, {sum(path.stat().st_size for path in written) / 1e6:.1f} MB")
