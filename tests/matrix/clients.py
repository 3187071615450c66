"""The variants of clients that an application may have."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from typing import Any

import openai

from tests.matrix.cells import Cell, Variant
from tests.matrix.outcomes import IMPATIENT_SECONDS, RETRIES, Client

AZURE_VERSION = "2025-04-01-preview"
_OPTIONS: dict[Client, dict[str, Any]] = {
    "usual": {"timeout": 30.0},
    "impatient": {"timeout": IMPATIENT_SECONDS, "max_retries": RETRIES},
    "refused": {"timeout": 30.0, "max_retries": RETRIES},
}


@dataclass
class Clients:
    """Creates and caches clients, so that one client makes many calls, as in an application."""

    service: str
    """Address of the stand-in, without a path."""
    nobody: str
    """An address at which nothing listens."""
    _cache: dict[tuple[bool, Variant, Client], Any] = field(default_factory=dict)

    def make_early(self) -> None:
        """Create the clients that exist before telemetry is set up."""
        for is_async in (False, True):
            for client in _OPTIONS:
                self._get(is_async, "made before set-up", client)

    def of(self, cell: Cell) -> Any:
        """Return the client of a cell."""
        return self._get(cell.is_async, cell.variant, cell.outcome.client)

    async def close(self) -> None:
        """Close all clients."""
        for (is_async, *_), client in self._cache.items():
            closed = client.close()
            if is_async:
                await closed

    def _get(self, is_async: bool, variant: Variant, client: Client) -> Any:
        key = (is_async, variant, client)
        if key not in self._cache:
            self._cache[key] = self._make(is_async, variant, client)
        return self._cache[key]

    def _make(self, is_async: bool, variant: Variant, client: Client) -> Any:
        options = {"api_key": "replaced in every call", **_OPTIONS[client]}
        base = self.nobody if client == "refused" else self.service
        if variant == "Azure":
            azure = openai.AsyncAzureOpenAI if is_async else openai.AzureOpenAI
            return azure(azure_endpoint=base, api_version=AZURE_VERSION, **options)
        if variant in ("own HTTP client", "own send"):
            options["http_client"] = http_class(is_async, own_send=variant == "own send")()
        plain = openai.AsyncOpenAI if is_async else openai.OpenAI
        if variant == "with_options":
            return plain(base_url=self.nobody, api_key="any").with_options(base_url=f"{base}/v1", **options)
        return plain(base_url=f"{base}/v1", **options)


@cache
def http_class(is_async: bool, *, own_send: bool) -> Any:
    """Return the class of HTTP client that ``openai`` uses, or a subclass with its own ``send``."""
    default: Any = openai.DefaultAsyncHttpxClient if is_async else openai.DefaultHttpxClient
    library: Any = next(kind for kind in default.__mro__ if kind.__module__.startswith("httpx"))
    if not own_send:
        return library

    def send(self: Any, *args: Any, **kwargs: Any) -> Any:
        return library.send(self, *args, **kwargs)

    async def send_async(self: Any, *args: Any, **kwargs: Any) -> Any:
        return await library.send(self, *args, **kwargs)

    return type("Own", (library,), {"send": send_async if is_async else send})
