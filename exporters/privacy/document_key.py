"""The keyed hash that stands for the name of a document wherever telemetry keeps it."""

from __future__ import annotations

import hmac


def document_key(key: bytes, run_id: str, name: str) -> str:
    """Return the keyed hash by which a document is known within its run."""
    text = f"{run_id}\0{name}".encode(errors="surrogatepass")  # a file name need not be UTF-8
    return hmac.digest(key, text, "sha256").hex()[:32]
