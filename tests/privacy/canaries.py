"""Canaries: words in the place of personal data, which must not leave an application."""

from __future__ import annotations

NAME = "Wilhelmina Okapi-Quagga"
EMAIL = "w.quagga@numbat.example"
PHONE = "+44 20 7946 0957"
FILE = "CV-Quagga-final.pdf"
PROMPT = "zyzzogeton"
"""A word of prompts, frequent enough that the stand-in repeats it in its answers."""
ATTACHED = "Ornithorhynchus"
"""A word of exceptions and log records."""
LITERAL = "Macropus"
"""A literal in a SQL statement."""

CANARIES = (NAME, "Quagga", EMAIL, PHONE, FILE, PROMPT, ATTACHED, LITERAL)
RESUME = f"{NAME}\n{EMAIL}\n{PHONE}\n{' '.join([PROMPT] * 9)}\n"


def found_in(text: str | bytes) -> list[str]:
    """Return the canaries in a text."""
    readable = text.decode("utf-8", "replace") if isinstance(text, bytes) else text
    return [canary for canary in CANARIES if canary.lower() in readable.lower()]
