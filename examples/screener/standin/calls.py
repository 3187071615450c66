"""One HTTP attempt as it arrived, with what the rest of the stand-in asks about it."""

import hashlib
import re
from dataclasses import dataclass
from typing import Any

_TASK = re.compile(r"^\s*Task:\s*(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Call:
    """One attempt of a logical call; two attempts with the same path and body have the same key."""

    path: str
    operation: str
    """``chat``, ``embeddings``, or ``unknown`` for a path the stand-in does not serve."""
    key: str
    """Hash of path and body."""
    authorization: str
    """Hash of the key the caller sent; empty without one."""
    body: dict[str, Any]
    model: str
    task: str
    """The word after ``Task:`` in the system message; empty without one."""
    text: str
    """Everything the caller wrote, for rules that look for a piece of it."""
    stream: bool
    service_tier: str | None
    """The tier asked for."""


def arrived(path: str, operation: str, raw: bytes, body: dict[str, Any], secret: str) -> Call:
    """Describe an attempt; anything missing or malformed in the body reads as empty here."""
    instructions, text = _texts(body)
    task = _TASK.search(instructions)
    tier = body.get("service_tier")
    return Call(
        path=path,
        operation=operation,
        key=fingerprint(path.encode() + b"\0" + raw),
        authorization=fingerprint(secret.encode()) if secret else "",
        body=body,
        model=str(body.get("model") or ""),
        task=task[1] if task else "",
        text=text,
        stream=body.get("stream") is True,
        service_tier=tier if isinstance(tier, str) else None,
    )


def fingerprint(data: bytes) -> str:
    """Return a short hash, the same in every process."""
    return hashlib.sha256(data).hexdigest()[:32]


def content_text(content: Any) -> str:
    """Return the text of a message's content, which is a string or a list of parts."""
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and "text" in part)
    return content if isinstance(content, str) else ""


def _texts(body: dict[str, Any]) -> tuple[str, str]:
    """Return the instructions, and everything the caller wrote."""
    messages = [each for each in _list(body.get("messages")) if isinstance(each, dict)]
    system = [
        content_text(each.get("content")) for each in messages if each.get("role") in ("system", "developer")
    ]
    inputs = [each for each in _list(body.get("input")) if isinstance(each, str)]
    return "\n".join(system), "\n".join([*(content_text(each.get("content")) for each in messages), *inputs])


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
