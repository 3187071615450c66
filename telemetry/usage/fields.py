"""How each field of a usage, and each type of output, is treated.

``docs/reference/usage-fields.md`` is generated from these tables, which name every field that the installed
client knows. An unknown field is never free: if it counts something, the call is unpriced.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum, auto
from typing import Final


class Field(IntEnum):
    """How a field of a usage is treated."""

    INPUT = auto()
    OUTPUT = auto()
    CACHED = auto()
    """Input read from the prompt cache."""
    WRITTEN = auto()
    """Input written to the prompt cache."""
    REASONING = auto()
    """Hidden output; it costs as much as other output."""
    TOTAL = auto()
    """Checked: it must be the sum of input and output."""
    PART = auto()
    """Priced as the input or output it is part of."""
    DETAILS = auto()
    """A group of details."""
    LABEL = auto()
    """Counts nothing."""
    UNMODELLED = auto()
    """Billed by something other than tokens: if it is not 0, the call is unpriced."""


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
    "ttl_30m_tokens": Field.PART,  # the service's default
    "ttl_12h_tokens": Field.UNMODELLED,
}
TOP: Final = {
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
    # Some usages report these at the top instead of among the details.
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
DETAILS: Final[Mapping[str, tuple[Mapping[str, Field], Field]]] = {
    "prompt_tokens_details": _OF_INPUT,
    "input_tokens_details": _OF_INPUT,
    "input_token_details": _OF_INPUT,
    "completion_tokens_details": _OF_OUTPUT,
    "output_tokens_details": _OF_OUTPUT,
    "output_token_details": _OF_OUTPUT,
    "cached_tokens_details": (_DETAIL_OF_CACHED, Field.CACHED),
    "cache_write_tokens_details": (_DETAIL_OF_WRITTEN, Field.WRITTEN),
}
"""The fields of each group of details, and the count that none of them may exceed."""

FREE_ITEMS: Final = frozenset(
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
"""Types of output billed by their tokens alone."""
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
"""Types of output that may cost more than their tokens; so may a type that is in neither set."""
SESSION_TOOLS: Final = ("code_interpreter", "shell")
"""Tools whose container may be billed even if the output has no call of them."""


def treatment(path: tuple[str, ...]) -> Field | None:
    """Return how the usage field at ``path`` is treated, or None if it is unknown."""
    *parents, name = path
    if not parents:
        return TOP.get(name)
    details = DETAILS.get(parents[-1])
    return None if details is None else details[0].get(name)


def costs_its_tokens_alone(output: str) -> bool | None:
    """Return whether the type ``output`` is billed by its tokens alone; None if it is unknown."""
    return True if output in FREE_ITEMS else False if output in _BILLED_ITEMS else None
