"""The running system: stand-in, app and worker on one SQLite database."""

from __future__ import annotations

import json
import os
import secrets
import socket
import urllib.request
from collections.abc import Mapping
from typing import Any

from .errors import DemoError
from .folder import Folder
from .processes import Process, Processes
from .service import FAULTS, Service

READY = 60.0
"""Seconds within which a process must become ready."""
WEB_WORKERS = 2
FOREIGN = ("FLASK_", "GUNICORN_", "SCREENER_", "TELEMETRY_")
"""Prefixes of settings for another installation, which would change the demo."""


class Stack:
    """Starts the processes one after another; `processes` stops them."""

    def __init__(self, folder: Folder, service: Service, processes: Processes) -> None:
        self.folder = folder
        self.service = service
        self.processes = processes
        self.url = ""
        """The address of the app."""
        self._standin = ""
        self._environment = {**_inherited(), **self._settings(), **service.environment}

    def prepare(self) -> None:
        """Start the stand-in, and meanwhile create tables and users."""
        if self.service.is_standin:
            self._launch_standin()
        self.processes.finish(self._start("set-up", "examples.screener.install"))
        if self.service.is_standin:
            self._await_standin()

    def serve(self) -> None:
        """Start the app and the worker, and wait until the app answers."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.url = f"http://127.0.0.1:{listener.getsockname()[1]}"
            app = self._start_app(listener.fileno())
        self._start("worker", "examples.screener.worker")
        waited = "The app did not answer"
        self.processes.wait_until(lambda: _answers(f"{self.url}/sign-in"), waited, READY, app.log)

    def ledger(self) -> list[dict[str, Any]]:
        """Return the attempts in the stand-in's ledger, and write them into the demo's folder."""
        try:
            with urllib.request.urlopen(f"{self._standin}/_standin/ledger", timeout=30) as answer:
                text = answer.read()
        except OSError as error:
            self.processes.check()
            raise DemoError(
                f"The stand-in does not show its ledger: {error}", self.folder.log("stand-in")
            ) from error
        self.folder.ledger.write_bytes(text)
        attempts: list[dict[str, Any]] = json.loads(text)["attempts"]
        return attempts

    def _settings(self) -> dict[str, str]:
        return {
            "SCREENER_DATABASE_URL": self.folder.database_url,
            "SCREENER_REQUEST_LIMIT": str(self.service.request_limit),
            "SECRET_KEY": secrets.token_hex(),
            "TELEMETRY_SPOOL_DIR": str(self.folder.spool),
            "TELEMETRY_METRICS_PORT": "0",
        }

    def _launch_standin(self) -> None:
        self.folder.faults.write_text(json.dumps(FAULTS, indent=2))
        options = ["--config", str(self.folder.faults), "--port-file", str(self.folder.port_file)]
        self._standin_process = self._start("stand-in", "examples.screener.standin", *options)

    def _await_standin(self) -> None:
        ready = self.folder.port_file.exists
        log = self._standin_process.log
        self.processes.wait_until(ready, "The stand-in was not ready", READY, log)
        self._standin = f"http://127.0.0.1:{self.folder.port_file.read_text().strip()}"
        self._environment |= {"OPENAI_API_KEY": "stand-in", "OPENAI_BASE_URL": f"{self._standin}/v1"}

    def _start_app(self, listener: int) -> Process:
        options = ["--bind", f"fd://{listener}", "--workers", str(WEB_WORKERS), "--timeout", "600"]
        options.append("--no-control-socket")  # it would be in the home directory
        return self._start("app", "gunicorn", *options, "examples.screener.wsgi:app", pass_fds=(listener,))

    def _start(self, name: str, *command: str, pass_fds: tuple[int, ...] = ()) -> Process:
        return self.processes.start(name, command, self._environment, self.folder.log(name), pass_fds)


def _inherited(environ: Mapping[str, str] = os.environ) -> dict[str, str]:
    """Return the environment without settings that would change the demo."""
    kept = {name: value for name, value in environ.items() if not name.startswith((*FOREIGN, "OPENAI_"))}
    kept.pop("OTEL_SDK_DISABLED", None)
    return kept


def _answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=10):
            return True
    except OSError:
        return False
