"""The keyed hash that replaces the name of a document in all that telemetry stores."""

from __future__ import annotations

import hmac


def document_key(key: bytes, run_id: str, name: str) -> str:
    """Return the keyed hash that identifies a document within its run."""
    text = f"{run_id}\0{name}".encode(errors="surrogatepass")  # a file name need not be UTF-8
    return hmac.digest(key, text, "sha256").hex()[:32]
