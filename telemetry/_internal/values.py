"""Values of the application's, made such that JSON and SQL can tell them. Pure: exporters use it too."""

from __future__ import annotations

import operator
import unicodedata
from typing import Any, Final

from .signals import let_pass

_CONTROLLING: Final = frozenset({"Cc", "Cf", "Zl", "Zp"})
"""Categories of Unicode whose characters are not printed, and do something."""
LARGEST: Final = 2**63 - 1
"""What SQL can store; Python tells no text of a number much larger."""


def whole(value: Any) -> int | None:
    """Return a number, or digits, as an integer of at most 64 bits; None for what is none.

    NumPy's integers and ``Decimal("5")``, ``5.0`` and ``"5"`` are 5; ``5.5``, NaN and a UUID are none.
    """
    if value is None or (type(value) is int and -LARGEST <= value <= LARGEST):
        return value
    try:
        number = _integer(value)
    except Exception as error:  # whatever a type of the application's does
        let_pass(error)
        return None
    return number if number is not None and -LARGEST <= number <= LARGEST else None


def storable(text: str) -> str:
    """Return ``text`` without what no database takes, and without what does something to a terminal.

    NULs go, and halves of a character become ``?``: Python has such halves for the bytes of a file name that
    is not UTF-8. Control characters and marks that turn the direction of writing become U+FFFD: a name may
    come from a service, and is printed.
    """
    if text.isascii() and text.isprintable():
        return text
    text = text.encode(errors="replace").decode().replace("\0", "")
    return "".join(["\ufffd" if unicodedata.category(each) in _CONTROLLING else each for each in text])


def _integer(value: Any) -> int | None:
    if isinstance(value, str):
        return int(value) if value.isdecimal() else None
    try:
        return operator.index(value)
    except TypeError:
        number = int(value)
        return number if number == value else None
