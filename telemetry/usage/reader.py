"""Read any answer in full: tokens, model, tier, and what is billed by something other than tokens.

:mod:`.fields` defines how each field is treated. The names of impossible counts are reported: see
:class:`.Answer`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Final

from telemetry._internal.process.signals import let_pass
from telemetry.pricing.model_names import always_searches
from telemetry.pricing.rates import Tokens

from .answer import MOST_TOKENS, Answer
from .fields import DETAILS, FREE_ITEMS, SESSION_TOOLS, TOP, Field
from .plain_answer import read_plain

# Bound once: looking up an enum member is slow, and every call needs these.
_INPUT, _OUTPUT, _CACHED, _WRITTEN = Field.INPUT, Field.OUTPUT, Field.CACHED, Field.WRITTEN
_REASONING, _TOTAL, _PART, _LABEL = Field.REASONING, Field.TOTAL, Field.PART, Field.LABEL
_HAS_DETAILS, _UNMODELLED = Field.DETAILS, Field.UNMODELLED

_MOST_DIGITS: Final = 20
_PARTS_AT_TOP: Final = {Field.CACHED: Field.INPUT, Field.REASONING: Field.OUTPUT}
"""Details that some usages report at the top, with the field that each is part of."""
_DIMENSIONS: Final = ("data_residency", "inference_geo", "region", "speed")
"""Fields for where or how an answer was generated, which may have a price of its own."""
_PLAIN: Final = frozenset(
    {
        *("id", "object", "created", "created_at", "metadata", "model", "service_tier", "system_fingerprint"),
        *("choices", "data", "output", "usage"),
    }
)
"""Fields of every answer, which the search for other costs skips."""
_CONTENT: Final = ("choices", "output", "data")
"""Fields of an answer that hold its content."""
_NOTHING: Final = Answer()


def read_answer(answer: object) -> Answer:
    """Return the billed facts of ``answer``; never raise.

    Args:
        answer: decoded JSON, or an object of the client.
    """
    try:
        if (plain := read_plain(answer)) is not None:
            return plain
        fields = _fields(answer)
        return _NOTHING if fields is None else _read(fields)
    except Exception as error:  # a foreign object may raise anything from its attributes
        let_pass(error)
        return Answer(unmodelled=("answer",))


def _read(fields: Mapping[str, object]) -> Answer:
    model, tier, usage = _text(fields.get("model")), _text(fields.get("service_tier")), fields.get("usage")
    unmodelled, missing = _beside_usage(fields), []
    tokens = None
    if usage is not None:
        reader = _UsageReader()
        reader.read(usage)
        has_content = any(map(fields.get, _CONTENT))
        needs_output = "choices" in fields or "output" in fields
        tokens = reader.tokens(needs_output=needs_output, has_content=has_content)
        unmodelled += reader.unmodelled
        missing = reader.missing
        if tokens is not None and tokens.cache_write and _keeps_longer(fields):
            unmodelled.append("prompt_cache_options")
    if model is not None and always_searches(model):
        unmodelled.append("model")
    shows_tools = bool(fields.get("output") or fields.get("choices"))
    if not unmodelled and not missing:
        return Answer(tokens, model, tier, (), (), shows_tools)
    names = tuple(dict.fromkeys(unmodelled)), tuple(dict.fromkeys(missing))
    return Answer(tokens, model, tier, *names, shows_tools)


class _UsageReader:
    """Collects the counts of one usage, and the names of those that are missing or not modelled."""

    __slots__ = ("_counts", "_parts", "missing", "unmodelled")

    def __init__(self) -> None:
        self._counts: dict[Field, int] = {}
        self._parts: list[tuple[str, int, Field]] = []
        """Name and count of every detail above 0, and the field that it is part of."""
        self.missing: list[str] = []
        self.unmodelled: list[str] = []

    def read(self, usage: object) -> None:
        """Add the counts of ``usage``."""
        fields = _fields(usage)
        if fields is None:
            self.missing.append("usage")
        else:
            self._take(fields, TOP, None)

    def tokens(self, *, needs_output: bool, has_content: bool) -> Tokens | None:
        """Return the counts, capped where they contradict each other; None without input and output.

        Args:
            needs_output: whether this kind of answer always has output tokens; embeddings have none.
            has_content: whether the answer has content, which is impossible without input tokens.
        """
        counts = self._counts
        whole, output = counts.get(_INPUT), counts.get(_OUTPUT)
        if whole is None and output is None:
            self.missing.append("usage")
            return None
        if whole is None:
            self.missing.append("input_tokens")
            whole = 0
        if output is None:
            if needs_output:
                self.missing.append("output_tokens")
            output = 0
        if whole == 0 and (output or has_content):
            self.missing.append("input_tokens")
        if counts.get(_TOTAL, whole + output) != whole + output:
            self.missing.append("total_tokens")
        if not self._parts:
            return Tokens(whole, output)
        counts[_INPUT], counts[_OUTPUT] = whole, output
        self._check_parts()
        cached = min(counts.get(_CACHED, 0), whole)
        written = counts.get(_WRITTEN, 0)
        if written > whole - cached:
            self.missing.append("cache_write_tokens")
            written = whole - cached
        return Tokens(whole, output, cached, min(counts.get(_REASONING, 0), output), written)

    def _take(self, fields: Mapping[str, object], known: Mapping[str, Field], whole: Field | None) -> None:
        for name, value in fields.items():
            if value is None or (value == 0 and whole is not None):
                continue
            field = known.get(name)
            if field is _HAS_DETAILS:
                self._take_details(name, value)
            elif field is None or field is _UNMODELLED:
                if _is_something(value):
                    self.unmodelled.append(name)
            elif field is not _LABEL:
                count = (
                    value if type(value) is int and 0 <= value <= MOST_TOKENS else self._whole(name, value)
                )
                if count is not None:
                    self._count(name, field, count, whole or _PARTS_AT_TOP.get(field))

    def _count(self, name: str, field: Field, count: int, whole: Field | None) -> None:
        if whole is not None:
            self._parts.append((name, count, whole))
        if field is not _PART:
            if self._counts.setdefault(field, count) != count:  # reported twice, with different values
                self.missing.append(name)
                self._counts[field] = max(count, self._counts[field])

    def _take_details(self, name: str, value: object) -> None:
        details = _fields(value)
        if details is None:
            self.missing.append(name)
        else:
            self._take(details, *DETAILS[name])

    def _whole(self, name: str, value: object) -> int | None:
        """Return ``value`` as a whole number, or None; report it as missing unless it is a whole number."""
        number: object = value
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < _MOST_DIGITS:
            number = float(value)  # some compatible servers send numbers as strings
        if not isinstance(number, float) or not 0 <= number <= MOST_TOKENS:
            self.missing.append(name)
            return None
        count = math.floor(number)
        if count != value:
            self.missing.append(name)
        return count

    def _check_parts(self) -> None:
        for name, count, whole in self._parts:
            if count > self._counts.get(whole, 0):
                self.missing.append(name)


def _beside_usage(fields: Mapping[str, object]) -> list[str]:
    """Return the names of tools and fields in an answer that are billed by something other than tokens."""
    names = [
        name
        for name in fields.keys() - _PLAIN
        if ("usage" in name or name in _DIMENSIONS) and _is_something(fields[name])
    ]
    for item in _items(fields.get("output")):
        if not _is_free(item):
            names.append(str(item.get("type")))
    for tool in _items(fields.get("tools")):
        if str(tool.get("type")).startswith(SESSION_TOOLS) and not _is_local(tool):
            names.append(str(tool.get("type")))
    for choice in _items(fields.get("choices")):
        message = _fields(choice.get("message") or choice.get("delta")) or {}
        names += [name for name in ("annotations", "audio") if message.get(name)]
    return names


def _keeps_longer(fields: Mapping[str, object]) -> bool:
    """Return whether cache writes are kept longer than the listed price covers."""
    return (_fields(fields.get("prompt_cache_options")) or {}).get("ttl") not in (None, "30m")


def _is_free(item: Mapping[str, object]) -> bool:
    return item.get("type") in FREE_ITEMS or (item.get("type") == "shell_call" and _is_local(item))


def _is_local(item: Mapping[str, object]) -> bool:
    """Return whether a shell call runs on the application's own machine."""
    return (_fields(item.get("environment")) or {}).get("type") == "local"


def _items(value: object) -> list[Mapping[str, object]]:
    if not isinstance(value, (list, tuple)):
        return []
    return [fields for item in value if (fields := _fields(item)) is not None]


def _fields(value: object) -> Mapping[str, object] | None:
    """Return the fields of a JSON object or of a client object, including fields the client does not know."""
    if isinstance(value, dict):
        return value
    fields: dict[str, object] | None = getattr(value, "__dict__", None)
    extra: Any = getattr(value, "__pydantic_extra__", value)
    if extra is value and isinstance(value, Mapping):  # a slow check, which client objects do not reach
        return value
    return {**fields, **extra} if fields is not None and extra and extra is not value else fields


def _is_something(value: object) -> bool:
    """Return whether a field with this value may have cost something."""
    if isinstance(value, (str, int, float)) or value is None:
        return bool(value)
    if isinstance(value, (list, tuple)):
        return any(map(_is_something, value))
    fields = _fields(value)
    return True if fields is None else any(map(_is_something, fields.values()))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
