"""The URL of a service, and the user and password that it may contain."""

from __future__ import annotations

import base64
from urllib.parse import SplitResult, unquote, urlsplit


def host_of(parts: SplitResult) -> str:
    """Return host and port of a URL, without user and password."""
    return parts.netloc.rpartition("@")[2]


def split_login(url: str) -> tuple[str, dict[str, str]]:
    """Return a URL without user and password, and the request headers that contain them instead."""
    parts = urlsplit(url)
    headers = {}
    if parts.username is not None:
        login = f"{unquote(parts.username)}:{unquote(parts.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(login.encode()).decode()}"
    return parts._replace(netloc=host_of(parts)).geturl(), headers
