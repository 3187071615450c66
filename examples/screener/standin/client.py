"""Start the stand-in as a process, and control it; standard library only."""

import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

_ROOT = Path(__file__).resolve().parents[3]


class StandIn:
    """A stand-in in its own process, on a free port of the loopback interface.

    Example::

        with StandIn([{"status": 429, "first_attempts": 1, "retry_after_ms": 20}]) as standin:
            OpenAI(base_url=standin.url, api_key="any").embeddings.create(...)
            standin.ledger()["totals"]

    Args:
        faults: The fault rules to start with.
        port: Port to listen on; 0 takes a free one.
        timeout: Seconds to wait for the process to be ready, and again for it to stop.
    """

    def __init__(
        self, faults: Sequence[Mapping[str, Any]] = (), *, port: int = 0, timeout: float = 30
    ) -> None:
        self._initial = list(faults)
        self._wanted_port = port
        self._timeout = timeout
        self._process: subprocess.Popen[bytes] | None = None
        self._base = ""

    @property
    def url(self) -> str:
        """The base URL for the ``openai`` client, with ``/v1``.

        Raises:
            RuntimeError: The stand-in is not running.
        """
        return f"{self._running_base()}/v1"

    @property
    def azure_endpoint(self) -> str:
        """The endpoint for the ``AzureOpenAI`` client.

        Raises:
            RuntimeError: The stand-in is not running.
        """
        return self._running_base()

    def start(self) -> Self:
        """Start the process and wait until it answers.

        Raises:
            RuntimeError: It ended or was not ready in time; the message has its standard error.
        """
        if self._process:
            raise RuntimeError("the stand-in is running already: stop() it first")
        with tempfile.TemporaryDirectory(prefix="standin-") as folder:
            self._start_in(Path(folder))
        return self

    def stop(self) -> None:
        """Stop the process; safe to call twice."""
        process, self._process, self._base = self._process, None, ""
        if process is None:
            return
        process.terminate()
        try:
            process.wait(self._timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def ledger(self, since: int = 0) -> dict[str, Any]:
        """Return ``{"attempts": [...], "totals": {model: {operation: {...}}}}``.

        Args:
            since: Leave out the attempts up to this ``seq``; the totals are those of the attempts returned.
        """
        answer: dict[str, Any] = self._ask("GET", f"/ledger?since={since}")
        return answer

    def clear(self) -> None:
        """Empty the ledger, and reset attempt numbers, fault counts and memory; fault rules stay."""
        self._ask("DELETE", "/ledger")

    def faults(self, rules: Sequence[Mapping[str, Any]], *, seed: int = 0) -> None:
        """Replace the current fault rules.

        Raises:
            ValueError: A rule is invalid; the message names the field.
        """
        self._ask("PUT", "/faults", {"seed": seed, "rules": list(rules)})

    def reset_faults(self) -> None:
        """Restore the fault rules of the start."""
        self._ask("DELETE", "/faults")

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start_in(self, folder: Path) -> None:
        port_file, config, log = folder / "port", folder / "faults.json", folder / "stderr"
        config.write_text(json.dumps(self._initial))
        command = [sys.executable, "-m", "examples.screener.standin", "--port", str(self._wanted_port)]
        command += ["--port-file", str(port_file), "--config", str(config)]
        path = os.pathsep.join(filter(None, [str(_ROOT), os.environ.get("PYTHONPATH", "")]))
        with log.open("wb") as stderr:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=stderr,
                env={**os.environ, "PYTHONPATH": path},
            )
        deadline = time.monotonic() + self._timeout
        while not port_file.exists():
            if self._process.poll() is not None or time.monotonic() > deadline:
                self.stop()
                raise RuntimeError(f"the stand-in did not start: {log.read_text(errors='replace').strip()}")
            time.sleep(0.02)
        self._base = f"http://127.0.0.1:{port_file.read_text().strip()}"
        self._ask("GET", "/health")

    def _running_base(self) -> str:
        if not self._base:
            raise RuntimeError("the stand-in is not running: call start() or use it in a with statement")
        return self._base

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self._running_base()}/_standin{path}", data=data, method=method)
        try:
            with _OPENER.open(request, timeout=self._timeout) as response:
                return json.loads(response.read() or b"null")
        except urllib.error.HTTPError as error:
            raise ValueError(json.loads(error.read())["error"]) from None


_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))
"""It ignores proxies of the environment, since the stand-in is local."""
