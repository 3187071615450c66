"""The stand-in as a process: its command line, start and stop."""

import json
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from openai import OpenAI

from examples.screener.standin.__main__ import main
from examples.screener.standin.client import StandIn

COMMAND = [sys.executable, "-m", "examples.screener.standin"]
ROOT = Path(__file__).resolve().parents[2]


def test_command_prints_its_url_and_stops_on_sigterm(tmp_path: Path) -> None:
    """It prints one line, writes the port file and reads its fault rules.

    It ends with status 0, though a client is connected.
    """
    config, port_file = tmp_path / "faults.json", tmp_path / "port"
    config.write_text(json.dumps({"seed": 3, "rules": [{"status": 503, "first_total": 1}]}))
    options = ["--port", "0", "--port-file", str(port_file), "--config", str(config)]
    process = subprocess.Popen([*COMMAND, *options], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    try:
        assert process.stdout
        line = process.stdout.readline().decode()
        url = line.split()[-1]
        with OpenAI(base_url=url, api_key="k") as client:
            raw = client.embeddings.with_raw_response.create(model="text-embedding-3-small", input="hello")
            process.send_signal(signal.SIGTERM)
            rest, errors = process.communicate(timeout=60)
    finally:
        process.kill()

    assert url.startswith("http://127.0.0.1:") and url.endswith("/v1")
    assert f":{port_file.read_text().strip()}/" in url
    assert raw.retries_taken == 1
    assert (process.returncode, rest, errors) == (0, b"", b"")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["faults.json", "port"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[{]", "not JSON"),
        ('[{"status": 20}]', "rules.0.status"),
        ('{"sed": 1}', "sed"),
        ("3", "plan"),
        (None, "No such"),
    ],
)
def test_invalid_configuration_is_refused_in_one_line(
    tmp_path: Path, content: str | None, message: str
) -> None:
    """The line names the option, the file and the reason."""
    config = tmp_path / "faults.json"
    if content is not None:
        config.write_text(content)
    with pytest.raises(SystemExit) as end:
        main(["--config", str(config)])

    assert str(end.value).startswith(f"--config {config}: ")
    assert message in str(end.value)
    assert "\n" not in str(end.value)


def test_client_says_why_the_process_did_not_start() -> None:
    """The error has the output of the process."""
    with pytest.raises(RuntimeError, match="(?s)the stand-in did not start: .*port is a number"):
        StandIn(port=70_000).start()


def test_client_may_start_and_stop_repeatedly() -> None:
    """Each start is a new, empty stand-in; stopping twice is harmless; using a stopped one raises."""
    standin = StandIn()
    with standin as running, OpenAI(base_url=running.url, api_key="k") as client:
        client.embeddings.create(model="text-embedding-3-small", input="hello")
        url = running.url
        with pytest.raises(RuntimeError, match="running already"):
            standin.start()
    standin.stop()

    with pytest.raises(urllib.error.URLError):
        urllib.request.urlopen(url, timeout=5)
    with pytest.raises(RuntimeError, match="not running"):
        standin.ledger()
    with standin:
        assert standin.ledger()["attempts"] == []
