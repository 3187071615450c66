"""Rules by attribute name: what may leave the process in spans, events and log records, in which form.

A rule applies to the name and everything below it: ``user`` covers ``user.email``. An attribute without a
rule leaves unchanged.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import lru_cache
from itertools import takewhile
from typing import Any, Final
from urllib.parse import urlsplit

from telemetry._internal.urls.service_url import host_of


@dataclass(frozen=True, slots=True)
class Allowed:
    """What the operator allows to leave the process; by default nothing."""

    exception_messages: bool = False
    """Messages and stack traces of exceptions, and descriptions of a span's status."""
    message_content: bool = False
    """Prompts, answers, instructions, tools and their arguments."""
    log_messages: bool = False
    """The text of log records, and the attributes that the application added."""


class Rule(Enum):
    """What happens to an attribute."""

    PERSONAL = """
        client.address client.port source.address source.port network.peer net.peer net.sock.peer user session
        http.client_ip http.user_agent user_agent enduser file http.request.header http.response.header
        url.query url.fragment url.original url.username url.password db.connection_string
        db.query.parameter db.operation.parameter db.statement.parameters traceloop.association logfire.msg
    """
    """Never leaves: who asked for what, from where, and the parameters of a statement."""
    EXCEPTION = "exception.message exception.stacktrace error.message error.stack stack"
    """Leaves only if exception messages are allowed."""
    CONTENT = """
        gen_ai.input.messages gen_ai.output.messages gen_ai.system_instructions gen_ai.prompt gen_ai.content
        gen_ai.completion gen_ai.tool.definitions gen_ai.tool.call.arguments gen_ai.tool.call.result
        gen_ai.retrieval.query gen_ai.retrieval.documents gen_ai.evaluation.explanation
        gen_ai.request.stop_sequences llm.prompts llm.completions llm.input_messages llm.output_messages
        llm.prompt_template input.value output.value embedding.embeddings embedding.text retrieval.documents
        document.content reranker message content traceloop.entity.input traceloop.entity.output
        traceloop.prompt langfuse request_data response_data all_messages_events events
    """
    """Leaves only if content is allowed: prompts and answers.

    Under the names of the GenAI conventions and of other common instrumentations.
    """
    PATH = "http.target url.path"
    """Leaves as the route, because a path may contain the name of a file or a person."""
    ADDRESS = "http.url url.full"
    """Leaves as scheme, host and route."""
    STATEMENT = "db.statement db.query.text"
    """Leaves without its values."""


ROUTE: Final = "http.route"
LOG_ATTRIBUTES: Final = frozenset(
    "code error.type exception.type gen_ai openai server analysis telemetry".split()
)
"""Attributes of a log record that do not come from the application."""


def clean(attributes: Mapping[str, Any] | None, allowed: Allowed) -> dict[str, Any]:
    """Return a copy of ``attributes`` that may leave."""
    attributes = attributes or {}
    cleaned = {name: _cleaned(name, attributes, allowed) for name in attributes}
    return {name: value for name, value in cleaned.items() if value is not None}


def clean_log(attributes: Mapping[str, Any] | None, allowed: Allowed) -> dict[str, Any]:
    """Return a copy of the ``attributes`` of a log record that may leave."""
    kept = clean(attributes, allowed)
    if allowed.log_messages:
        return kept
    return {name: value for name, value in kept.items() if _covering(name, LOG_ATTRIBUTES)}


def statement(text: str) -> str:
    """Return a SQL statement without its values: strings, numbers and comments become ``?``.

    If it cannot be parsed reliably, because of a backslash or an open quote, return only its first word.
    """
    shown = _VALUES.sub("?", text)
    if "\\" in text or _UNREAD.search(shown):
        return "".join(takewhile(str.isalpha, text.lstrip()))
    return shown


_VALUES: Final = re.compile(
    r"""'(?:[^']|'')*' | `[^`]*` | \$(\w*)\$.*?\$\1\$
      | "(?:[^"]|"")*"              # a name or, on some databases, a string
      | --[^\n]* | \#[^\n]* | /\*.*?\*/
      | (?<![\w$:@%])\d[\w.]*       # a number, but not the one in a name or a placeholder
    """,
    re.VERBOSE | re.DOTALL,
)
_UNREAD: Final = re.compile(r"""['"`] | \$\w*\$ | /\* | \*/""", re.VERBOSE)


def _cleaned(name: str, attributes: Mapping[str, Any], allowed: Allowed) -> Any:
    """Return the form in which the attribute ``name`` leaves, or None."""
    value = attributes[name]
    match _rule(name):
        case Rule.PERSONAL:
            return None
        case Rule.EXCEPTION:
            return value if allowed.exception_messages else None
        case Rule.CONTENT:
            return value if allowed.message_content else None
        case Rule.PATH:
            return attributes.get(ROUTE)
        case Rule.ADDRESS:
            return _address(str(value), attributes.get(ROUTE, ""))
        case Rule.STATEMENT:
            return statement(str(value))
    return value


def _address(url: str, route: str) -> str | None:
    try:
        parts = urlsplit(url)
    except ValueError:
        return None
    host = host_of(parts)
    return f"{parts.scheme}://{host}{route}" if host else None


_RULES: Final = {name: rule for rule in Rule for name in rule.value.split()}


@lru_cache(maxsize=4096)
def _rule(name: str) -> Rule | None:
    covering = _covering(name, _RULES)
    return None if covering is None else _RULES[covering]


def _covering(name: str, names: Collection[str]) -> str | None:
    """Return the one of ``names`` that is ``name`` or a prefix of it."""
    while name not in names:
        name, dot, _ = name.rpartition(".")
        if not dot:
            return None
    return name
