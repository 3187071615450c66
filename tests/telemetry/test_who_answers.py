"""Of the processes of a server, the one that handles requests answers Prometheus."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

APPLICATION = """
import flask, telemetry

def create_app():
    app = flask.Flask("host")
    app.config["SECRET_KEY"] = "secret"
    telemetry.Telemetry(app, engine="sqlite:///host.sqlite")

    @app.get("/run")
    def work():
        with telemetry.run("intake"):
            return "done"

    return app

if __name__ == "__main__":
    import sys
    create_app().run(debug=True, port=int(sys.argv[1]))
"""


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def read(port: int, path: str) -> str:
    """Return the text of a page as soon as the server answers."""
    deadline = time.monotonic() + 90
    while True:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=300) as answer:
                text: str = answer.read().decode()
                return text
        except (urllib.error.URLError, OSError):
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


@contextmanager
def served(folder: Path, command: list[str], metrics: int) -> Iterator[None]:
    environment = os.environ | {
        "FLASK_APP": "host:create_app",
        "PYTHONPATH": str(folder),
        "TELEMETRY_SPOOL_DIR": str(folder / "spool"),
        "TELEMETRY_METRICS_PORT": str(metrics),
        "OTEL_TRACES_EXPORTER": "none",
        "OTEL_METRICS_EXPORTER": "none",
    }
    server = subprocess.Popen(command, env=environment, cwd=folder, stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        server.terminate()
        server.wait(timeout=300)


@pytest.mark.parametrize(
    "command",
    [
        "{python} -m flask run --debug -p {port}",
        "{python} -m flask run --debug --no-reload -p {port}",
        "{python} host.py {port}",
        "{python} -m gunicorn --preload -w 1 -b 127.0.0.1:{port} host:create_app()",
    ],
)
def test_the_process_that_handles_requests_serves_its_metrics(
    command: str, migrated_sqlite: Path, tmp_path: Path
) -> None:
    """Prometheus sees its runs, not the zeros of a parent that only reloads or forks it."""
    shutil.copy(migrated_sqlite, tmp_path / "host.sqlite")
    (tmp_path / "host.py").write_text(APPLICATION)
    port, metrics = free_port(), free_port()

    with served(tmp_path, command.format(python=sys.executable, port=port).split(), metrics):
        assert [read(port, "/run") for _ in range(3)] == ["done"] * 3
        page = read(metrics, "/metrics")

    counts = re.findall(r"^analysis_runs_total\{[^}]*\} (\S+)$", page, re.MULTILINE)
    assert sum(map(float, counts)) == 3
