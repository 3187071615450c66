"""One HTTP attempt, with the facts that the rest of the stand-in needs."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from flask import Request

from . import azure

_INSTRUCTING = ("system", "developer")
_TASK = re.compile(r"^\s*Task:\s*(\w+)", re.MULTILINE)


@dataclass(frozen=True)
class Call:
    """One attempt of a logical call; two attempts with the same path and body have the same key."""

    method: str
    path: str
    parameters: Mapping[str, str]
    """Parameters in the path and the query, such as ``response_id``."""
    operation: str
    """Its name in `operations.OPERATIONS`; ``unknown`` for a path the stand-in does not serve."""
    key: str
    """Hash of path and body."""
    authorization: str
    """Hash of the key the caller sent; empty without one."""
    body: dict[str, Any]
    model: str
    """The requested model; on Azure, the deployment where the body names no model."""
    served_model: str
    """The model that answers."""
    azure: bool
    task: str
    """The word after ``Task:`` in the system message or instructions; empty without one."""
    text: str
    """All text of the caller, for rules that match a part of it."""
    stream: bool
    service_tier: str | None
    """The requested tier."""


def arrived(request: Request, operation: str) -> Call:
    """Describe an attempt; anything missing or malformed in the body reads as empty here."""
    data, sent = _content(request)
    parameters = {**request.args.to_dict(), **(request.view_args or {})}
    deployment = parameters.get("deployment", "")
    body = {**({"model": deployment} if deployment else {}), **(sent if isinstance(sent, dict) else {})}
    model = str(body.get("model") or "")
    on_azure = azure.is_azure(request.path)
    instructions, text = _texts(body)
    task = _TASK.search(instructions)
    tier = body.get("service_tier")
    secret = azure.secret(request)
    return Call(
        method=request.method,
        path=request.path,
        parameters=parameters,
        operation=operation,
        key=fingerprint(request.path.encode() + b"\0" + data),
        authorization=fingerprint(secret.encode()) if secret else "",
        body=body,
        model=model,
        served_model=azure.served_model(deployment or model) if on_azure else model,
        azure=on_azure,
        task=task[1] if task else "",
        text=text,
        stream=body.get("stream") is True,
        service_tier=tier if isinstance(tier, str) else None,
    )


def _content(request: Request) -> tuple[bytes, Any]:
    """Return the sent content, the same for every attempt, and its decoded form."""
    data = request.get_data()
    if request.mimetype != "multipart/form-data":
        return data, request.get_json(force=True, silent=True)
    fields = request.form.to_dict()  # the lines between the parts of a form differ from attempt to attempt
    files = (file.read() for file in request.files.values())
    return b"\0".join([repr(sorted(fields.items())).encode(), *files]), fields


def fingerprint(data: bytes) -> str:
    """Return a short hash, the same in every process."""
    return hashlib.sha256(data).hexdigest()[:32]


def content_text(content: Any) -> str:
    """Return the text of a message's content, which is a string or a list of parts."""
    if isinstance(content, list):
        return "\n".join(str(part["text"]) for part in content if isinstance(part, dict) and "text" in part)
    return content if isinstance(content, str) else ""


def _texts(body: dict[str, Any]) -> tuple[str, str]:
    """Return the instructions, and all text of the caller."""
    said = [*_list(body.get("messages")), *_list(body.get("input"))]
    messages = [each for each in said if isinstance(each, dict)]
    system = [*_strings(body.get("instructions"))]
    system += [content_text(each.get("content")) for each in messages if each.get("role") in _INSTRUCTING]
    others = [content_text(each.get("content")) for each in messages if each.get("role") not in _INSTRUCTING]
    inputs = [*_strings(body.get("input")), *_strings(body.get("prompt"))]
    return "\n".join(system), "\n".join([*system, *others, *inputs])


def _strings(value: Any) -> list[str]:
    return [each for each in _list(value) if isinstance(each, str)]


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [] if value is None else [value]
