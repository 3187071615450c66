"""Submitting documents as a user does."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from examples.screener.client import ScreenerClient
from tests.end_to_end.documents import JD, File
from tests.end_to_end.stack import Stack


@dataclass(frozen=True)
class Submitted:
    """An analysis that has ended."""

    analysis: int
    draft: int
    status: dict[str, Any]
    """The last status that the app returned, as JSON."""


def draft(client: ScreenerClient, files: Iterable[File], title: str = "Backend") -> int:
    """Upload a job description and résumés."""
    number = client.create_draft(title)
    client.upload_jd(number, *JD)
    if files := list(files):
        client.upload_resumes(number, files)
    return number


def submit(client: ScreenerClient, files: Iterable[File], override: bool = False) -> Submitted:
    """Upload documents, start their analysis, and wait for its end."""
    number = draft(client, files)
    analysis = client.start(number, override=override)["analysis"]
    return Submitted(analysis, number, client.wait(analysis, timeout=300, poll=0.05))


def draft_quickly(stack: Stack, files: list[File]) -> int:
    """Upload many résumés over two connections concurrently, since there are two web processes."""
    clients = [stack.client(), stack.client()]
    number = draft(clients[0], [])
    with ThreadPoolExecutor(len(clients)) as pool:
        shares = [files[index :: len(clients)] for index in range(len(clients))]
        uploads = [
            pool.submit(client.upload_resumes, number, share)
            for client, share in zip(clients, shares, strict=True)
        ]
        received = [result for upload in uploads for result in upload.result()]
    assert [result["outcome"] for result in received] == ["stored"] * len(files)
    return number
