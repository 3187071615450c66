"""The calls that have reached the stand-in."""

from __future__ import annotations

import hashlib
import json
import urllib.request


class Arrivals:
    """The keys of the calls in the stand-in's ledger."""

    def __init__(self, service: str) -> None:
        self._ledger = f"{service}/_standin/ledger?since="
        self._last = 0
        self._keys: set[str] = set()

    def include(self, api_key: str) -> bool:
        """Return whether a call with this key has arrived."""
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(
            f"{self._ledger}{self._last}"
        ) as answer:
            attempts = json.load(answer)["attempts"]
        self._keys |= {attempt["authorization"] for attempt in attempts}
        self._last = max([self._last, *(attempt["seq"] for attempt in attempts)])
        return hashed(api_key) in self._keys


def hashed(api_key: str) -> str:
    """Return the hash of a key, which the ledger has in its place."""
    return hashlib.sha256(api_key.encode()).hexdigest()[:32]
