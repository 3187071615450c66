"""The actions of a person: upload the samples, start two analyses, and unlock an insight."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from examples.screener.auth import PASSWORD, USER_EMAIL
from examples.screener.client import ScreenerClient
from examples.screener.samples import generate, jd_path, resume_paths
from examples.screener.samples.files import CORRUPT, DUPLICATE, DUPLICATE_OF

from .errors import DemoError
from .service import Service
from .steps import Steps

TITLE = "Senior Backend Engineer"
WAIT = 300.0
"""Maximum seconds of the large analysis."""

Document = tuple[str, bytes]


@dataclass
class Submitted:
    """One submitted analysis."""

    analysis: int
    place: str
    """Where it ran: request or worker."""
    received: list[dict[str, str]] = field(default_factory=list)
    """For each uploaded file its `file_name`, `outcome` and a `detail`."""


class Submission:
    """The actions of a signed-in user; `check` raises if a process has ended."""

    def __init__(
        self,
        url: str,
        service: Service,
        steps: Steps,
        check: Callable[[], None],
        password: str = PASSWORD,
    ) -> None:
        self._client = ScreenerClient(url)
        self._password = password
        self._service = service
        self._steps = steps
        self._check = check

    def perform(self) -> list[Submitted]:
        """Submit everything and wait for the results."""
        self._client.login(USER_EMAIL, self._password)
        analyses = [self._small(), self._large()]
        self._unlock(analyses[0])
        self._client.close()
        return analyses

    def perform_small(self) -> Submitted:
        """Submit the small analysis alone."""
        self._client.login(USER_EMAIL, self._password)
        submitted = self._small()
        self._client.close()
        return submitted

    def _small(self) -> Submitted:
        draft, received = self._upload(few_resumes(self._service.small))
        with self._steps.step("Analysing them in the request"):
            analysis = self._client.start(draft)["analysis"]
        return self._ended(Submitted(analysis, "request", received))

    def _large(self) -> Submitted:
        draft, received = self._upload(many_resumes(self._service.large))
        analysis = self._client.start(draft)["analysis"]
        with self._steps.step("Analysing them in the worker", 1.0) as report:

            def note(status: dict[str, float]) -> None:
                self._check()
                report(status["progress"])

            self._client.wait(analysis, note, timeout=WAIT)
        return self._ended(Submitted(analysis, "worker", received))

    def _upload(self, resumes: list[Document]) -> tuple[int, list[dict[str, str]]]:
        draft = self._client.create_draft(TITLE)
        with self._steps.step(f"Uploading {len(resumes)} résumés", len(resumes)) as report:
            self._client.upload_jd(draft, jd_path().name, jd_path().read_bytes())

            def note(stored: int) -> None:
                self._check()
                report(stored)

            received = self._client.upload_resumes(draft, resumes, batch=4, progress=note)
        return draft, received

    def _ended(self, submitted: Submitted) -> Submitted:
        status = self._client.status(submitted.analysis)
        if status["state"] != "completed":
            raise DemoError(f"Analysis {submitted.analysis} {status['state']}: {status['message']}")
        return submitted

    def _unlock(self, submitted: Submitted) -> None:
        candidates = self._client.result(submitted.analysis)["candidates"]
        locked = [each["id"] for each in candidates if each["insight"] is None and each["error"] is None]
        if locked:
            with self._steps.step("Unlocking one more insight"):
                self._client.unlock_insight(submitted.analysis, locked[0])


def few_resumes(number: int) -> list[Document]:
    """Return a few samples: a duplicate, a corrupt file and others."""
    first = [path for path in resume_paths() if path.name in (CORRUPT, DUPLICATE, DUPLICATE_OF)]
    others = [path for path in resume_paths() if path not in first]
    step = max(1, len(others) // (number - len(first)))
    return _read([*first, *islice(others, 0, None, step)][:number])


def many_resumes(number: int) -> list[Document]:
    """Return all samples, and as many generated ones as needed."""
    samples = _read(resume_paths())[:number]
    return [*samples, *generate(number - len(samples))]


def _read(paths: list[Path]) -> list[Document]:
    return [(path.name, path.read_bytes()) for path in paths]
