"""A client for scripts, which submits documents through the app's own pages, as a browser does.

client = ScreenerClient("http://127.0.0.1:8000")
client.login("user@example.com", "screener")
draft = client.create_draft("Senior Backend Engineer")
client.upload_jd(draft, "jd.docx", jd_bytes)
client.upload_resumes(draft, [("ana.pdf", ana_bytes), ("ben.txt", ben_bytes)])
analysis = client.start(draft)["analysis"]
client.wait(analysis)
print(client.result(analysis)["candidates"][0]["name"])
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Sequence
from itertools import islice
from typing import Any

import requests

ENDED = ("completed", "failed")


class ScreenerError(Exception):
    """The app refused a request; the message is the one it shows."""


class ScreenerClient:
    """One signed-in user of the screener."""

    def __init__(self, base_url: str, timeout: float = 600.0) -> None:
        """Create a client; `timeout` (seconds) applies to each request, and a small analysis is one."""
        self.base_url = base_url.rstrip("/")
        self.timeout = timeout
        self._session = requests.Session()
        self._session.headers["Accept"] = "application/json"

    def login(self, email: str, password: str) -> None:
        """Sign in.

        Raises:
            ScreenerError: the credentials are wrong.
        """
        self._fetch_token()
        answer = self._send("POST", "/sign-in", data={"email": email, "password": password})
        if answer.status_code == 401:
            raise ScreenerError("E-mail or password is wrong.")
        if not answer.ok:
            raise ScreenerError(f"{self.base_url} answered {answer.status_code} to signing in")
        self._fetch_token()

    def create_draft(self, title: str) -> int:
        """Begin a draft; returns its number."""
        draft: int = self._post("/drafts", data={"title": title})["draft"]
        return draft

    def upload_jd(self, draft: int, name: str, content: bytes) -> list[dict[str, str]]:
        """Upload the job description; returns the criteria found in it."""
        criteria: list[dict[str, str]] = self._post(f"/drafts/{draft}/jd", files=[("jd", (name, content))])[
            "criteria"
        ]
        return criteria

    def upload_resumes(
        self,
        draft: int,
        files: Iterable[tuple[str, bytes]],
        batch: int = 20,
        progress: Callable[[int], None] | None = None,
    ) -> list[dict[str, str]]:
        """Upload résumés, `batch` with each request; `progress` is called with how many are there.

        Returns:
            For each file its `file_name`, its `outcome` (stored, duplicate or unreadable) and a `detail`.
        """
        received: list[dict[str, str]] = []
        waiting = iter(files)
        while some := list(islice(waiting, batch)):
            received += self._upload(draft, some)
            if progress is not None:
                progress(len(received))
        return received

    def start(self, draft: int, override: bool = False) -> dict[str, Any]:
        """Start an analysis; returns its number as `analysis`, with `state` and `message`."""
        data = {"override": "1"} if override else {}
        answer = self._send("POST", f"/drafts/{draft}/analyses", data=data)
        found = self._read(answer) if answer.ok else answer.json()
        if "analysis" not in found:
            raise ScreenerError(found.get("error", f"status {answer.status_code}"))
        return dict(found)

    def status(self, analysis: int) -> dict[str, Any]:
        """Return the status of an analysis: `state`, `progress` (0 to 1), `stage`, `message`."""
        return self._get(f"/analyses/{analysis}/status")

    def wait(
        self,
        analysis: int,
        progress: Callable[[dict[str, Any]], None] | None = None,
        timeout: float = 600.0,
        poll: float = 0.2,
    ) -> dict[str, Any]:
        """Wait until an analysis has ended, completed or failed; `progress` is called with each status.

        Raises:
            TimeoutError: it had not ended after `timeout` seconds.
        """
        deadline = time.monotonic() + timeout
        while True:
            status = self.status(analysis)
            if progress is not None:
                progress(status)
            if status["state"] in ENDED:
                return status
            if time.monotonic() > deadline:
                raise TimeoutError(f"analysis {analysis} is still {status['state']} after {timeout:g} s")
            time.sleep(poll)

    def result(self, analysis: int) -> dict[str, Any]:
        """Return the criteria, and the candidates, best first, with ratings and insights."""
        return self._get(f"/analyses/{analysis}")

    def unlock_insight(self, analysis: int, candidate: int) -> dict[str, Any]:
        """Unlock and return the insight of one more candidate."""
        insight: dict[str, Any] = self._post(f"/analyses/{analysis}/insights/{candidate}")["insight"]
        return insight

    def delete(self, analyses: Sequence[int]) -> None:
        """Delete analyses with their files."""
        self._post("/analyses/delete", data={"id": list(analyses)})

    def close(self) -> None:
        """Close the connections."""
        self._session.close()

    def _upload(self, draft: int, files: Sequence[tuple[str, bytes]]) -> list[dict[str, str]]:
        parts = [("resumes", file) for file in files]
        received: list[dict[str, str]] = self._post(f"/drafts/{draft}/resumes", files=parts)["received"]
        return received

    def _fetch_token(self) -> None:
        """Read the CSRF token from a page; it changes with the session."""
        page = self._send("GET", "/sign-in", headers={"Accept": "text/html"}).text
        match = re.search(r'name="csrf-token" content="([^"]+)"', page)
        if match is None:
            raise ScreenerError(f"{self.base_url} is not the screener: its page has no CSRF token")
        self._session.headers["X-CSRFToken"] = match.group(1)

    def _get(self, path: str) -> dict[str, Any]:
        return self._read(self._send("GET", path))

    def _post(self, path: str, **content: Any) -> dict[str, Any]:
        return self._read(self._send("POST", path, **content))

    def _send(self, method: str, path: str, **content: Any) -> requests.Response:
        return self._session.request(method, self.base_url + path, timeout=self.timeout, **content)

    def _read(self, answer: requests.Response) -> dict[str, Any]:
        """Return the JSON of a response; an error of the app becomes a `ScreenerError`."""
        try:
            data: dict[str, Any] = answer.json()
        except requests.JSONDecodeError:
            raise ScreenerError(f"{answer.request.url} answered {answer.status_code} without JSON") from None
        if not answer.ok:
            raise ScreenerError(data.get("error", f"status {answer.status_code}"))
        return data
