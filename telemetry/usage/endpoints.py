"""Classify requests of the OpenAI client: whether they may cost money, and the name of their operation.

A request may cost money unless its path is in :data:`FREE`, with the reason. A request with an unknown path
therefore counts as a call, and its cost is unknown unless the answer reports its usage.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import Final
from urllib.parse import urlsplit

from telemetry.conventions import OTHER

OPERATIONS: Final = {
    "/chat/completions": "chat",
    "/responses": "chat",
    "/responses/compact": "chat",
    "/embeddings": "embeddings",
    "/completions": "text_completion",
    "/decisions": "decision",
    "/images/generations": "image_generation",
    "/images/edits": "image_generation",
    "/images/variations": "image_generation",
    "/audio/speech": "speech",
    "/audio/transcriptions": "transcription",
    "/audio/translations": "transcription",
    "/audio/voices": "voice",
    "/videos": "video_generation",
    "/videos/characters": "video_generation",
    "/videos/edits": "video_generation",
    "/videos/extensions": "video_generation",
    "/videos/{}/remix": "video_generation",
    "/batches": "batch",
    "/fine_tuning/jobs": "fine_tuning",
    "/fine_tuning/jobs/{}/resume": "fine_tuning",
    "/fine_tuning/alpha/graders/run": "evaluation",
    "/fine_tuning/alpha/graders/validate": "evaluation",
    "/evals/{}/runs": "evaluation",
    "/threads/runs": "run",
    "/threads/{}/runs": "run",
    "/threads/{}/runs/{}/submit_tool_outputs": "run",
    "/agents": "invoke_agent",
    "/agents/{}": "invoke_agent",
    "/agents/automations": "invoke_agent",
    "/agents/automations/{}": "invoke_agent",
    "/agents/automations/{}/invocations": "invoke_agent",
    "/agents/automations/{}/resume": "invoke_agent",
    "/agents/environments": "invoke_agent",
    "/agents/environments/templates": "invoke_agent",
    "/agents/environments/templates/{}": "invoke_agent",
    "/agents/environments/{}/files": "invoke_agent",
    "/agents/sessions": "invoke_agent",
    "/agents/sessions/{}": "invoke_agent",
    "/agents/sessions/{}/events": "invoke_agent",
    "/agents/sessions/{}/turns": "invoke_agent",
    "/chatkit/sessions": "realtime",
    "/realtime/calls": "realtime",
    "/realtime/calls/{}/accept": "realtime",
    "/realtime/calls/{}/refer": "realtime",
    "/realtime/client_secrets": "realtime",
    "/realtime/sessions": "realtime",
    "/realtime/transcription_sessions": "realtime",
    "/realtime/translations/client_secrets": "realtime",
    "/live/sessions": "realtime",
    "/live/sessions/{}/accept": "realtime",
    "/live/sessions/{}/fork": "realtime",
    "/live/sessions/{}/refer": "realtime",
    "/vector_stores": "vector_store",
    "/vector_stores/{}/file_batches": "vector_store",
    "/vector_stores/{}/files": "vector_store",
    "/vector_stores/{}/search": "retrieval",
    "/containers": "container",
    "/containers/{}/files": "container",
    "/skills": "container",
    "/skills/{}": "container",
    "/skills/{}/versions": "container",
    "/content_provenance_checks": "content_provenance",
}
"""Paths of POST requests that may cost money, with their ``gen_ai.operation.name``.

``{}`` matches one segment. A session that is only opened here (``realtime``, ``chatkit``) is billed for
traffic that does not pass through this process.
"""

OPERATION_NAMES: Final = (*dict.fromkeys(OPERATIONS.values()), OTHER)
"""Every operation name; a path that is not in :data:`OPERATIONS` is ``other``."""

BILLED_IN_TOKENS: Final = frozenset({"chat", "embeddings", "text_completion", "decision", "realtime", OTHER})
"""Operations billed by the tokens in their answers alone."""

_READS: Final = ("get", "head", "options")
_TEXT = "Stores text; the later call in which a model reads it is billed."
_ENDS = "Ends or pauses work; its cost so far belongs to the request that began it."
_SETTING = "Changes a setting, a name or metadata; no model runs."
FREE: Final = {
    "/moderations": "Free of charge: platform.openai.com/docs/guides/moderation.",
    "/responses/input_tokens": "Counts tokens without running a model.",
    "/files": "Stores a file; storage of files is not billed: platform.openai.com/docs/pricing.",
    "/uploads": "Stores a file in parts.",
    "/uploads/{}/parts": "Stores a file in parts.",
    "/uploads/{}/complete": "Stores a file in parts.",
    "/uploads/{}/cancel": _ENDS,
    "/conversations": _TEXT,
    "/conversations/{}": _SETTING,
    "/conversations/{}/items": _TEXT,
    "/threads": _TEXT,
    "/threads/{}": _SETTING,
    "/threads/{}/messages": _TEXT,
    "/threads/{}/messages/{}": _SETTING,
    "/threads/{}/runs/{}": _SETTING,
    "/threads/{}/runs/{}/cancel": _ENDS,
    "/assistants": _SETTING,
    "/assistants/{}": _SETTING,
    "/chat/completions/{}": _SETTING,
    "/responses/{}/cancel": _ENDS,
    "/batches/{}/cancel": _ENDS,
    "/fine_tuning/jobs/{}/cancel": _ENDS,
    "/fine_tuning/jobs/{}/pause": _ENDS,
    "/fine_tuning/checkpoints/{}/permissions": _SETTING,
    "/evals": _SETTING,
    "/evals/{}": _SETTING,
    "/evals/{}/runs/{}": _ENDS,
    "/evals/{}/runs/{}/cancel": _ENDS,
    "/vector_stores/{}": _SETTING,
    "/vector_stores/{}/files/{}": _SETTING,
    "/vector_stores/{}/file_batches/{}/cancel": _ENDS,
    "/chatkit/sessions/{}/cancel": _ENDS,
    "/realtime/calls/{}/hangup": _ENDS,
    "/realtime/calls/{}/reject": _ENDS,
    "/live/sessions/{}/hangup": _ENDS,
    "/live/sessions/{}/reject": _ENDS,
    "/agents/automations/{}/pause": _ENDS,
    "/audio/voice_consents": _SETTING,
    "/audio/voice_consents/{}": _SETTING,
    "/vaults": _SETTING,
    "/vaults/{}": _SETTING,
    "/vaults/{}/credentials": _SETTING,
    "/vaults/{}/credentials/{}": _SETTING,
    "/webhook_endpoints": _SETTING,
    "/webhook_endpoints/{}": _SETTING,
    "/webhook_endpoints/{}/rotate_secret": _SETTING,
    "/webhook_endpoints/{}/test": _SETTING,
    "/organization/**": "Administration of the account; no model runs.",
    "/projects/**": "Administration of the account; no model runs.",
}
"""Paths of POST requests that cost nothing, each with the reason; ``**`` matches the rest of a path.

GET, HEAD, OPTIONS and DELETE cost nothing on any path.
"""

_ROOTS: Final = frozenset(path.split("/")[1] for path in (*OPERATIONS, *FREE))


@lru_cache(1024)
def operation_of(method: str, url: str) -> str | None:
    """Return the ``gen_ai.operation.name`` of a request that may cost money, or None if it is free.

    Args:
        method: HTTP method, in any case.
        url: a path of the service, or a whole URL.
    """
    if method.lower() in _READS or method.lower() == "delete":
        return None
    segments = urlsplit(url).path.strip("/").split("/")
    # A known path may follow a base path: a version, a deployment or a gateway's prefix.
    below = ["/" + "/".join(segments[start:]) for start in range(len(segments))]
    for path in below:
        if (operation := _find(path, _OPERATIONS)) is not None:
            return operation
    known = next((path for path in below if path.split("/")[1] in _ROOTS), below[0])
    return OTHER if _find(known, _FREE) is None else None


def _patterns(table: dict[str, str]) -> Iterator[tuple[re.Pattern[str], str]]:
    for path, value in table.items():
        pattern = re.escape(path).replace(r"\{\}", "[^/]+").replace(r"\*\*", ".+")
        yield re.compile(pattern), value


def _find(path: str, patterns: list[tuple[re.Pattern[str], str]]) -> str | None:
    return next((value for pattern, value in patterns if pattern.fullmatch(path)), None)


_OPERATIONS: Final = list(_patterns(OPERATIONS))
_FREE: Final = list(_patterns(FREE))
