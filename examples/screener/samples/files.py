"""The paths of the committed sample documents."""

from pathlib import Path

HERE = Path(__file__).parent
RESUMES = HERE / "resumes"

DUPLICATE = "Okafor_CV_final (2).pdf"
DUPLICATE_OF = "amara-okafor.pdf"
CORRUPT = "ravi-menon.pdf"
LARGE = "tomas-reyes-portfolio.pdf"


def jd_path() -> Path:
    """Return the path of the job description, a Word document."""
    return HERE / "jd.docx"


def resume_paths() -> list[Path]:
    """Return all committed résumés by name, including the duplicate, the corrupt and the large one."""
    return sorted(path for path in RESUMES.iterdir() if path.suffix in {".pdf", ".docx", ".txt"})
