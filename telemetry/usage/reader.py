"""What one answer of the service says about what is billed: tokens, model, tier, and what tokens do not tell.

The tables below name every field of a usage that the installed client knows; ``docs/usage-fields.md`` is made
from them. A field that they do not name is never free: when it counts something, the call has no price.
Counts that cannot be right are left out, and named: see :class:`Answer`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import IntEnum, auto
from typing import Any, Final

from telemetry._internal.signals import let_pass
from telemetry.pricing.model_names import always_searches
from telemetry.pricing.rates import Tokens

from .answer import MOST_TOKENS, Answer
from .plain_answer import read_plain


class Field(IntEnum):
    """How a field of a usage is treated."""

    INPUT = auto()
    OUTPUT = auto()
    CACHED = auto()
    """Input that was read from the prompt cache."""
    WRITTEN = auto()
    """Input that was written to it."""
    REASONING = auto()
    """Output that nobody sees; it costs as much as other output."""
    TOTAL = auto()
    """Checked: it must be the sum of input and output."""
    PART = auto()
    """Priced as the input or output it is part of."""
    DETAILS = auto()
    """Has fields of its own."""
    LABEL = auto()
    """Counts nothing."""
    UNMODELLED = auto()
    """Costs otherwise: when it is not 0, the call has no price."""


_DETAIL_OF_INPUT: Final = {
    "cached_tokens": Field.CACHED,
    "cache_write_tokens": Field.WRITTEN,
    "text_tokens": Field.PART,
    "audio_tokens": Field.UNMODELLED,
    "image_tokens": Field.UNMODELLED,
    "cached_tokens_details": Field.DETAILS,
    "cache_write_tokens_details": Field.DETAILS,
}
_DETAIL_OF_OUTPUT: Final = {
    "reasoning_tokens": Field.REASONING,
    "accepted_prediction_tokens": Field.PART,
    "rejected_prediction_tokens": Field.PART,
    "text_tokens": Field.PART,
    "audio_tokens": Field.UNMODELLED,
    "image_tokens": Field.UNMODELLED,
}
_DETAIL_OF_CACHED: Final = {
    "text_tokens": Field.PART,
    "cached_text_tokens": Field.PART,
    "audio_tokens": Field.UNMODELLED,
    "image_tokens": Field.UNMODELLED,
    "cached_image_tokens": Field.UNMODELLED,
}
_DETAIL_OF_WRITTEN: Final = {
    "ttl_30m_tokens": Field.PART,  # what the service does unless it is asked to keep them longer
    "ttl_12h_tokens": Field.UNMODELLED,
}
_TOP: Final = {
    "prompt_tokens": Field.INPUT,
    "input_tokens": Field.INPUT,
    "completion_tokens": Field.OUTPUT,
    "output_tokens": Field.OUTPUT,
    "total_tokens": Field.TOTAL,
    "prompt_tokens_details": Field.DETAILS,
    "input_tokens_details": Field.DETAILS,
    "input_token_details": Field.DETAILS,
    "completion_tokens_details": Field.DETAILS,
    "output_tokens_details": Field.DETAILS,
    "output_token_details": Field.DETAILS,
    # Only some usages keep these here instead of among the details.
    "cached_tokens": Field.CACHED,
    "reasoning_tokens": Field.REASONING,
    "cached_tokens_details": Field.DETAILS,
    "type": Field.LABEL,
    "model": Field.LABEL,
    "run_model_name": Field.LABEL,
    "invocation_count": Field.LABEL,
    "seconds": Field.UNMODELLED,
}
_OF_INPUT: Final = (_DETAIL_OF_INPUT, Field.INPUT)
_OF_OUTPUT: Final = (_DETAIL_OF_OUTPUT, Field.OUTPUT)
_DETAILS: Final[Mapping[str, tuple[Mapping[str, Field], Field]]] = {
    "prompt_tokens_details": _OF_INPUT,
    "input_tokens_details": _OF_INPUT,
    "input_token_details": _OF_INPUT,
    "completion_tokens_details": _OF_OUTPUT,
    "output_tokens_details": _OF_OUTPUT,
    "output_token_details": _OF_OUTPUT,
    "cached_tokens_details": (_DETAIL_OF_CACHED, Field.CACHED),
    "cache_write_tokens_details": (_DETAIL_OF_WRITTEN, Field.WRITTEN),
}
"""The fields of each group of details, and the count which none of theirs may exceed."""
# Bound once: members of an enumeration are slow to look up, and every call comes through here.
_INPUT, _OUTPUT, _CACHED, _WRITTEN = Field.INPUT, Field.OUTPUT, Field.CACHED, Field.WRITTEN
_REASONING, _TOTAL, _PART, _LABEL = Field.REASONING, Field.TOTAL, Field.PART, Field.LABEL
_HAS_DETAILS, _UNMODELLED = Field.DETAILS, Field.UNMODELLED

_MOST_DIGITS: Final = 20
_PARTS_AT_TOP: Final = {Field.CACHED: Field.INPUT, Field.REASONING: Field.OUTPUT}
"""Of what some usages keep beside the input and output it is part of."""
_FREE_ITEMS: Final = frozenset(
    {
        "additional_tools",
        "apply_patch_call",
        "apply_patch_call_output",
        "compaction",
        "computer_call",
        "computer_call_output",
        "custom_tool_call",
        "custom_tool_call_output",
        "function_call",
        "function_call_output",
        "local_shell_call",
        "local_shell_call_output",
        "mcp_approval_request",
        "mcp_approval_response",
        "mcp_call",
        "mcp_list_tools",
        "message",
        "reasoning",
        "tool_search_call",
        "tool_search_output",
    }
)
"""Types of output that cost their tokens alone: any other is of a tool with a price of its own, or new."""
_BILLED_ITEMS: Final = frozenset(
    {
        "agent_message",
        "code_interpreter_call",
        "file_search_call",
        "image_generation_call",
        "multi_agent_call",
        "multi_agent_call_output",
        "program",
        "program_output",
        "shell_call",
        "shell_call_output",
        "web_search_call",
    }
)
"""Types of output that cost, or may cost, more than their tokens; so does one that neither set names."""
SESSION_TOOLS: Final = ("code_interpreter", "shell")
"""Tools for which a container may be billed although no call of theirs is in the output."""
_DIMENSIONS: Final = ("data_residency", "inference_geo", "region", "speed")
"""What an answer may say of where or how it was made, at a price of its own."""
_PLAIN: Final = frozenset(
    {
        *("id", "object", "created", "created_at", "metadata", "model", "service_tier", "system_fingerprint"),
        *("choices", "data", "output", "usage"),
    }
)
"""Fields of every answer, which are not looked at twice."""


def treatment(path: tuple[str, ...]) -> Field | None:
    """Return how the field of a usage at ``path`` is treated; None: it is not known."""
    *parents, name = path
    if not parents:
        return _TOP.get(name)
    details = _DETAILS.get(parents[-1])
    return None if details is None else details[0].get(name)


def costs_its_tokens_alone(output: str) -> bool | None:
    """Say whether output of the type ``output`` costs nothing beside its tokens; None: it is not known."""
    return True if output in _FREE_ITEMS else False if output in _BILLED_ITEMS else None


def read_answer(answer: object) -> Answer:
    """Return what ``answer`` says about what is billed; never raise.

    Args:
        answer: decoded JSON, or an object of the client.
    """
    try:
        if (plain := read_plain(answer)) is not None:
            return plain
        fields = _fields(answer)
        return _NOTHING if fields is None else _read(fields)
    except Exception as error:  # an object of somebody else's: whatever it does, it must not get out
        let_pass(error)
        return Answer(unmodelled=("answer",))


_NOTHING: Final = Answer()


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


_CONTENT: Final = ("choices", "output", "data")
"""Fields of an answer that hold what was asked for."""


class _UsageReader:
    """Reads the counts of one usage."""

    __slots__ = ("_counts", "_parts", "missing", "unmodelled")

    def __init__(self) -> None:
        self._counts: dict[Field, int] = {}
        self._parts: list[tuple[str, int, Field]] = []
        """Name and count of each detail that is not 0, and its whole."""
        self.missing: list[str] = []
        self.unmodelled: list[str] = []

    def read(self, usage: object) -> None:
        """Take the counts of ``usage``."""
        fields = _fields(usage)
        if fields is None:
            self.missing.append("usage")
        else:
            self._take(fields, _TOP, None)

    def tokens(self, *, needs_output: bool, has_content: bool) -> Tokens | None:
        """Return what was counted, as far as it can be right; None without input and output.

        Args:
            needs_output: whether the answer is of a kind that always has output: embeddings have none.
            has_content: whether the answer holds something, which no input at all cannot have come to.
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
                count = value if type(value) is int and 0 <= value <= MOST_TOKENS else self._mend(name, value)
                if count is not None:
                    self._count(name, field, count, whole or _PARTS_AT_TOP.get(field))

    def _count(self, name: str, field: Field, count: int, whole: Field | None) -> None:
        if whole is not None:
            self._parts.append((name, count, whole))
        if field is not _PART:
            if self._counts.setdefault(field, count) != count:  # said twice, and not the same
                self.missing.append(name)
                self._counts[field] = max(count, self._counts[field])

    def _take_details(self, name: str, value: object) -> None:
        details = _fields(value)
        if details is None:
            self.missing.append(name)
        else:
            self._take(details, *_DETAILS[name])

    def _mend(self, name: str, value: object) -> int | None:
        """Return the whole number in ``value``, None without any; it is missing unless it is just that."""
        number: object = value
        if isinstance(value, str) and value.isascii() and value.isdigit() and len(value) < _MOST_DIGITS:
            number = float(value)  # some clients take it for a number, too
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
    """Return the names of what an answer says was done, or used, at a price that no token tells."""
    found = [
        name
        for name in fields.keys() - _PLAIN
        if ("usage" in name or name in _DIMENSIONS) and _is_something(fields[name])
    ]
    for item in _items(fields.get("output")):
        if not _is_free(item):
            found.append(str(item.get("type")))
    for tool in _items(fields.get("tools")):
        if str(tool.get("type")).startswith(SESSION_TOOLS) and not _is_local(tool):
            found.append(str(tool.get("type")))
    for choice in _items(fields.get("choices")):
        message = _fields(choice.get("message") or choice.get("delta")) or {}
        found += [name for name in ("annotations", "audio") if message.get(name)]
    return found


def _keeps_longer(fields: Mapping[str, object]) -> bool:
    """Say whether what was written to the cache is kept for longer than the listed price is for."""
    return (_fields(fields.get("prompt_cache_options")) or {}).get("ttl") not in (None, "30m")


def _is_free(item: Mapping[str, object]) -> bool:
    return item.get("type") in _FREE_ITEMS or (item.get("type") == "shell_call" and _is_local(item))


def _is_local(item: Mapping[str, object]) -> bool:
    """Say whether a shell is one of the application's own machine."""
    return (_fields(item.get("environment")) or {}).get("type") == "local"


def _items(value: object) -> list[Mapping[str, object]]:
    if not isinstance(value, (list, tuple)):
        return []
    return [fields for item in value if (fields := _fields(item)) is not None]


def _fields(value: object) -> Mapping[str, object] | None:
    """Return the fields of a JSON object or of an object of the client, unknown ones included."""
    if isinstance(value, dict):
        return value
    fields: dict[str, object] | None = getattr(value, "__dict__", None)
    extra: Any = getattr(value, "__pydantic_extra__", value)
    if extra is value and isinstance(value, Mapping):  # slow to ask: no object of the client comes here
        return value
    return {**fields, **extra} if fields is not None and extra and extra is not value else fields


def _is_something(value: object) -> bool:
    """Say whether a field with such a value may have cost something."""
    if isinstance(value, (str, int, float)) or value is None:
        return bool(value)
    if isinstance(value, (list, tuple)):
        return any(map(_is_something, value))
    fields = _fields(value)
    return True if fields is None else any(map(_is_something, fields.values()))


def _text(value: object) -> str | None:
    return value if isinstance(value, str) and value else None
