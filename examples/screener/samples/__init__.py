"""Sample documents: a job description and invented résumés as genuine PDF, DOCX and TXT files.

The committed files are made by ``python -m examples.screener.samples.make_samples``. Every person in them
is invented; their texts are in ``people/*.toml``. `generate` makes as many further résumés as a large
analysis needs.
"""

from .files import jd_path, resume_paths
from .generator import generate

__all__ = ["generate", "jd_path", "resume_paths"]
