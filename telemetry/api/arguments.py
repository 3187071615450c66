"""Check the arguments that the application passes; a wrong one is ignored and logged.

Each function takes the name of the argument and its value, and returns what can be recorded, or None. A wrong
argument is logged once for each name and type. The log line has its type, not its value, which may be
somebody's name.
"""

from __future__ import annotations

import enum
import logging
import numbers
import re
import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

from telemetry._internal.guard import count_error, is_raising
from telemetry._internal.process.signals import let_pass
from telemetry._internal.values import storable, whole
from telemetry.conventions import DOCUMENT_TYPES, KIND, OTHER, RESERVED_KINDS

_NAMES: Final = (str, bool, int, float, Decimal, enum.Enum, uuid.UUID)
"""Types whose text is a name or a number, not a whole document."""
Subject = tuple[str, int | str] | str
"""The host's name for what a run works on before there is an analysis: ``("draft", 12)``."""

_WHOLE: Final = "a whole number of at most 64 bits"
_SUBJECT: Final = 'a text, or a pair such as ("draft", 12), none of it empty'
_MOST: Final = 1000
"""Limit of log lines: the name of an argument may come from the application and vary without end."""
_ROUNDING: Final = Decimal("1e-9")
"""Rounding error by which a share may lie outside 0 to 1."""

_log = logging.getLogger("telemetry")
_logged: Final[set[tuple[str, str]]] = set()


def number_of(field: str, value: object) -> int | None:
    """Return a whole number of any type, or digits, as an integer."""
    number = whole(value)
    if number is None and value is not None:
        refuse(field, value, _WHOLE)
    return number


def required(field: str, value: object) -> int | None:
    """Return a whole number; None is a wrong argument."""
    if value is None:
        refuse(field, value, _WHOLE)
    return number_of(field, value)


def known(field: str, value: object, before: int | None) -> int | None:
    """Return a whole number, or ``before`` if there is none."""
    number = number_of(field, value)
    return before if number is None else number


def share_of(field: str, value: object, out_of: object) -> Decimal | None:
    """Return a score as a share of ``out_of``, between 0 and 1; None if it is not between 0 and ``out_of``.

    It is not clipped to the nearest bound: 85 probably means 85 out of 100, not the full score of 1.
    """
    score, most = _decimal(field, value), _decimal("out_of", out_of)
    if score is None or most is None:
        return None
    if most <= 0:
        refuse("out_of", out_of, "a number above 0")
        return None
    share = score / most
    if not -_ROUNDING <= share <= 1 + _ROUNDING:
        hint = ", or pass out_of=100" if most == 1 and 1 < score <= 100 else ""
        refuse(field, value, f"a number from 0 to out_of ({most:f}){hint}; it is not recorded")
        return None
    return min(max(share, Decimal(0)), Decimal(1))


def _decimal(field: str, value: object) -> Decimal | None:
    try:
        is_number = isinstance(value, numbers.Number | Decimal | str)
        number = Decimal(str(value)) if is_number or hasattr(value, "__float__") else None
    except Exception as error:  # a type of the application may raise anything
        let_pass(error)
        number = None
    if number is None or (number.is_nan() and not isinstance(value, float)):
        refuse(field, value, "a number")
        return None
    return None if number.is_nan() else number


def pair(field: str, value: object) -> tuple[int | None, int | None] | None:
    """Return two whole numbers: bytes and characters."""
    if isinstance(value, Sequence) and not isinstance(value, str | bytes) and len(value) == 2:
        return number_of(f"{field}[0]", value[0]), number_of(f"{field}[1]", value[1])
    if value is not None:
        refuse(field, value, "a pair of whole numbers (bytes, characters)")
    return None


def subject(field: str, value: object) -> str | None:
    """Return a subject as one text; None if a part of it is empty or neither a name nor a number."""
    if value is None:
        return None
    parts = list(value) if isinstance(value, Sequence) and not isinstance(value, str | bytes) else [value]
    if not parts or not all(isinstance(part, _NAMES) and str(part) for part in parts):
        refuse(field, value, _SUBJECT)
        return None
    return storable(":".join(_plain(part) for part in parts))


def required_subject(field: str, value: object) -> str | None:
    """Return a subject as one text; None is a wrong argument."""
    if value is None:
        refuse(field, value, _SUBJECT)
    return subject(field, value)


def error(field: str, value: object) -> BaseException | type[BaseException] | str:
    """Return an error, its class, or the word for its type; the word ``error`` for anything else."""
    if isinstance(value, BaseException | str) or (
        isinstance(value, type) and issubclass(value, BaseException)
    ):
        return value
    refuse(field, value, "an exception, or a word for its type; it counts as error")
    return "error"


def flag(field: str, value: object) -> bool:
    """Return the truth value of any object; a text that is not empty, such as a reason, is true."""
    try:
        return bool(value)
    except Exception as problem:  # a type of the application may raise anything
        let_pass(problem)
    refuse(field, value, "True or False; it counts as False")
    return False


def name(field: str, value: object) -> str:
    """Return a name as text; ``other`` for types whose text may contain anything."""
    if isinstance(value, str):
        return storable(value)
    refuse(field, value, "a text")
    return storable(_plain(value)) if isinstance(value, _NAMES) else OTHER


def key(field: str, value: object) -> str:
    """Return the key of a document as text, which is only used to compute a hash."""
    if value is None:
        refuse(field, value, "what identifies the document, such as its file name")
        return ""
    try:
        return str(value)
    except Exception as error:  # a type of the application may raise anything
        let_pass(error)
        refuse(field, value, "an object that str() can convert")
        return ""


def moment(field: str, value: object) -> datetime | None:
    """Return a time with a time zone; a naive one is taken as UTC."""
    if isinstance(value, datetime):
        return value if value.tzinfo is not None else value.replace(tzinfo=UTC)
    if value is not None:
        refuse(field, value, "a datetime")
    return None


def file_type(field: str, value: object) -> str | None:
    """Return a known type, or ``other``: the end of a file name may be part of a person's name."""
    if not isinstance(value, str):
        if value is None:
            return None
        refuse(field, value, "a text such as pdf or application/pdf")
        return OTHER
    if not value:
        return None
    suffix = value.lower().rpartition("/")[2].lstrip(".")
    return suffix if suffix in DOCUMENT_TYPES else OTHER


def kind_of(value: object, kinds: Sequence[str]) -> str:
    """Return ``value`` if it is one of ``kinds``, else ``other``.

    Raises:
        ValueError: if internal errors are raised, as in tests.
    """
    known_kind = next((kind for kind in (*kinds, OTHER) if isinstance(value, str) and value == kind), None)
    if known_kind is not None:
        return known_kind
    is_a_word = isinstance(value, str) and re.fullmatch(r"[\w-]{1,40}", value)
    shown = value if is_a_word else type(value).__name__
    message = (
        f"{shown!r} is not a kind of run, and is recorded as {OTHER!r}. Kinds are {', '.join(kinds)};"
        " TELEMETRY_RUN_KINDS adds more"
    )
    _log_once("kind", str(shown), message)
    if is_raising():
        raise ValueError(message)
    return OTHER


def kind_elsewhere(value: str, kinds: Sequence[str]) -> str | None:
    """Return the kind of a run of another process, which may have more kinds; None if it cannot be one."""
    if value in kinds or value == OTHER:
        return value
    if not KIND.fullmatch(value) or value in RESERVED_KINDS:
        return None
    _log_once(
        "kind",
        value,
        f"another process opened a run of the kind {value!r}, which metrics of this process show as"
        f" {OTHER!r}: add it to TELEMETRY_RUN_KINDS here as well",
    )
    return value


def one_of(field: str, value: object, declared: Sequence[str], setting: str = "") -> str:
    """Return ``value`` if it is one of ``declared``, else ``other``; the log line names ``setting``."""
    if isinstance(value, str):
        if value in declared or value == OTHER:
            return value
        shown = value if re.fullmatch(r"[\w.-]{1,64}", value) else "a text"
        _log_once(
            field,
            shown,
            f"{field} {shown!r} is recorded as {OTHER!r}: add it to {setting} to count it separately",
        )
    else:
        refuse(field, value, "a text")
    return OTHER


def choice(field: str, value: object, choices: Sequence[str], default: str) -> str:
    """Return ``value`` if it is one of ``choices``, else ``default``."""
    if isinstance(value, str) and value in choices:
        return value
    refuse(field, value, f"one of {', '.join(choices)}; it counts as {default}")
    return default


def refuse(field: str, value: object, wanted: str) -> None:
    """Count a wrong argument, and log it unless one of the same name and type was logged before."""
    kind = type(value)
    shown = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    _log_once(field, shown, f"{field} has a value of type {shown} that cannot be used; expected: {wanted}")


def never_entered() -> None:
    """Log that the result of ``telemetry.run`` was used as a handle without a ``with`` block."""
    _log_once(
        "run",
        "never entered",
        "telemetry.run() opens its run in a with block or as a decorator, and this one was never entered:"
        " telemetry.start_run() opens one at once",
    )


def _log_once(field: str, what: str, message: str) -> None:
    count_error("api")
    if (field, what) in _logged or len(_logged) >= _MOST:
        return
    _logged.add((field, what))
    _log.warning("telemetry: %s (this is logged once; the application is not affected)", message)


def _plain(value: object) -> str:
    return str(value.value) if isinstance(value, enum.Enum) else str(value)


def texts(carrier: object, names: Sequence[str]) -> dict[str, str]:
    """Return the texts among ``names`` in a carrier from another process; None counts as an empty one."""
    if not isinstance(carrier, Mapping):
        if carrier is not None:
            refuse("carrier", carrier, "the result of RunHandle.carrier(), a mapping of texts")
        return {}
    carried: dict[str, str] = {}
    for name in names:
        value = carrier.get(name)
        if isinstance(value, str):
            carried[name] = value
        elif value is not None:
            refuse(f"carrier[{name!r}]", value, "a text")
    return carried
