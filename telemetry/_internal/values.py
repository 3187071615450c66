"""Convert values of the application to what JSON and SQL can store. Pure; exporters use it too."""

from __future__ import annotations

import operator
import unicodedata
from typing import Any, Final

from .process.signals import let_pass

_CONTROLLING: Final = frozenset({"Cc", "Cf", "Zl", "Zp"})
"""Unicode categories of control characters."""
LARGEST: Final = 2**63 - 1
"""Largest integer in SQL; Python refuses to convert much longer numbers to text."""


def whole(value: Any) -> int | None:
    """Return a whole number, or digits, as an integer of at most 64 bits; None for anything else.

    NumPy integers, ``Decimal("5")``, ``5.0`` and ``"5"`` give integers; ``5.5``, NaN and a UUID give None.
    """
    if value is None or (type(value) is int and -LARGEST <= value <= LARGEST):
        return value
    try:
        number = _integer(value)
    except Exception as error:  # a type of the application may raise anything
        let_pass(error)
        return None
    return number if number is not None and -LARGEST <= number <= LARGEST else None


def storable(text: str) -> str:
    """Return ``text`` without characters that databases refuse or that control a terminal.

    NULs are removed and lone surrogates become ``?``: Python uses them for file names that are not UTF-8.
    Control characters and bidirectional marks become U+FFFD, because names from a service are printed.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.encode(errors="replace").decode().replace("\0", "")
    return "".join(["\ufffd" if unicodedata.category(char) in _CONTROLLING else char for char in text])


def _integer(value: Any) -> int | None:
    if isinstance(value, str):
        return int(value) if value.isdecimal() else None
    try:
        return operator.index(value)
    except TypeError:
        number = int(value)
        return number if number == value else None
