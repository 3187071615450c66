"""Generate the answer to a prompt and count its tokens, for chat, responses and completions."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from .calls import Call
from .faults import Fault
from .models import bills_cache_writes, caches_prompts, reasoning_tokens
from .tasks import reply
from .tokens import tokenize, truncate
from .usage import PromptCache, Usage

TOKENS_PER_CHUNK = 4
"""Tokens of the text in each chunk of a stream."""
TOKENS_BEFORE_ANSWER = 3
"""Tokens billed for every conversation, which introduce the answer."""


@dataclass(frozen=True)
class Message:
    """A message of a conversation."""

    role: str
    text: str


@dataclass(frozen=True)
class Generation:
    """The text of an answer and its usage."""

    content: str
    complete: bool
    """False when a limit cut the text short."""
    usage: Usage


def converse(
    call: Call,
    messages: Sequence[Message],
    fault: Fault,
    cache: PromptCache,
    *,
    want_json: bool,
    limit: int | None,
    choices: int = 1,
) -> Generation:
    """Answer a conversation; the arguments are those of `generate`."""
    user = "\n".join(each.text for each in messages if each.role == "user")
    return generate(
        call,
        conversation_tokens(messages),
        user,
        fault,
        cache,
        want_json=want_json,
        limit=limit,
        choices=choices,
        extra_tokens=TOKENS_BEFORE_ANSWER,
    )


def conversation_tokens(messages: Iterable[Message]) -> list[str]:
    """Return the tokens of a conversation: three a message beside its text, as the service counts them."""
    return [token for each in messages for token in ("<start>", each.role, "<end>", *tokenize(each.text))]


def generate(
    call: Call,
    prompt: Sequence[str],
    user: str,
    fault: Fault,
    cache: PromptCache,
    *,
    want_json: bool,
    limit: int | None,
    choices: int = 1,
    extra_tokens: int = 0,
) -> Generation:
    """Answer a prompt.

    Args:
        call: The call; its task, model and key matter here.
        prompt: The tokens of the prompt.
        user: The text to answer.
        fault: What the fault rules do to the content.
        cache: The prompts seen before.
        want_json: Whether a short text is wrapped in JSON.
        limit: The most tokens an answer may have, hidden reasoning included.
        choices: How many answers are billed.
        extra_tokens: Tokens billed beside the prompt.
    """
    full = reply(call.task, user, want_json=want_json)
    if fault.bad_json:
        full = f"Here you are: {full[: len(full) // 2]}"
    reasoning = reasoning_tokens(call.served_model, prompt)
    reasoning = min(reasoning, limit or reasoning)
    content = full if limit is None else truncate(full, limit - reasoning)
    owner = f"{call.authorization}/{call.served_model}"
    cached, written = cache.take(owner, prompt) if caches_prompts(call.served_model) else (0, 0)
    usage = Usage(
        input_tokens=len(prompt) + extra_tokens,
        output_tokens=choices * (len(tokenize(content)) + reasoning),
        cached_tokens=cached,
        cache_write_tokens=written if bills_cache_writes(call.served_model) else 0,
        reasoning_tokens=choices * reasoning,
    )
    return Generation(content, content == full, usage)
