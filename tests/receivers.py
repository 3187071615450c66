"""Receivers of notifications in tests: a webhook over HTTP, and a mail server."""

from __future__ import annotations

import json
from email import message_from_bytes, policy
from email.message import EmailMessage
from typing import Any, Self

from aiosmtpd.controller import Controller

from tests.local_server import Handler, LocalServer
from tests.postgres import free_port


class Webhook(LocalServer):
    """A server that keeps the bodies that are posted to it; it runs within its `with` block."""

    def __init__(self) -> None:
        self.bodies: list[Any] = []
        self.requests: list[tuple[str, str | None]] = []
        """Path and authorization of every request."""
        self.status = 200
        """The status of its answers; it keeps a body only if this is 200."""
        hook = self

        class Hook(Handler):
            def do_POST(self) -> None:
                body = json.loads(self.body())
                hook.requests.append((self.path, self.headers["Authorization"]))
                if hook.status == 200:
                    hook.bodies.append(body)
                self.answer(hook.status, Location="/login")

            def do_GET(self) -> None:
                self.answer()

        super().__init__(Hook)


class Mailbox:
    """A mail server that keeps the mails it receives; it runs within its `with` block."""

    def __init__(self) -> None:
        self.mails: list[EmailMessage] = []
        self.place = f"127.0.0.1:{free_port()}"
        self._controller = Controller(self, hostname="127.0.0.1", port=int(self.place.rpartition(":")[2]))

    def __enter__(self) -> Self:
        self._controller.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._controller.stop()

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:
        """Accept a mail. Called by the server, whose handler this is."""
        mail = message_from_bytes(envelope.content, policy=policy.default)
        assert isinstance(mail, EmailMessage)
        self.mails.append(mail)
        return "250 OK"
