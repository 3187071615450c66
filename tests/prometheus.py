"""A real Prometheus, for tests.

The program is that of the system, else that of Debian's package, unpacked under `build` without being
installed; it is version 2, which does not receive OTLP. `TEST_PROMETHEUS` names a program to use instead.
Version 3 is built by `make tools`: see :func:`receiving`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any, Self

from tests.debian import PackageUnavailable, unpacked
from tests.postgres import free_port
from tests.tools import program

PROGRAM = "usr/bin/prometheus"
CONFIGURATION = """\
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: ours
    static_configs: [{{targets: [{targets}]}}]
"""
SHIPPED = Path(__file__).parents[1] / "prometheus"
"""The folder with the configuration that operators get."""
FLAGS = ("--web.enable-otlp-receiver", "--enable-feature=exemplar-storage")
"""The flags with which operators are told to run it."""
SHOWS_TYPES = "--enable-feature=type-and-unit-labels"
"""Shows type and unit of what it receives as labels; its API of metadata knows scraped metrics only."""
OWN, COLLECTOR, ALERTMANAGER = "127.0.0.1:9090", "127.0.0.1:8888", "127.0.0.1:9093"
"""The addresses in the configuration: of Prometheus itself, and of what it scrapes."""
CLOSED = "127.0.0.1:1"
"""An address where nothing listens."""


class PrometheusUnavailable(RuntimeError):
    """No Prometheus could be started; the message says why and what to do."""


class Prometheus:
    """A Prometheus that scrapes these ports five times a second; it runs within its `with` block.

    There `kill` ends it by SIGKILL, and `start` starts it again with its data.
    """

    def __init__(
        self,
        *ports: int,
        program: Path | None = None,
        configuration: str = "",
        settings: str = "",
        arguments: tuple[str, ...] = (),
        data: Path | None = None,
    ) -> None:
        """Describe it.

        Args:
            ports: ports on this machine that it scrapes.
            program: the program, unless it is the system's or Debian's.
            configuration: its configuration, in which it has the address :data:`OWN`, instead of one that
                scrapes the ports.
            settings: more lines of its configuration.
            arguments: more arguments of its command line.
            data: where it stores what it knows, which stays; by default it begins with nothing.
        """
        self.port = free_port()
        self._program, self._arguments = program, arguments
        self.folder = Path(tempfile.mkdtemp(prefix="prometheus-"))
        """Where its configuration is, `prometheus.yml`."""
        self._data = data or self.folder / "data"
        targets = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
        self._log = self.folder / "prometheus.log"
        self.configure((configuration or CONFIGURATION.format(targets=targets)) + settings)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self) -> None:
        """Start it, and wait until it is ready."""
        options = {
            "config.file": self.file,
            "storage.tsdb.path": self._data,
            "web.listen-address": f"127.0.0.1:{self.port}",
            "log.level": "error",
        }
        command = [
            str(self._program or _program()),
            *(f"--{name}={value}" for name, value in options.items()),
            *self._arguments,
        ]
        with self._log.open("a") as log:
            self._process = subprocess.Popen(command, cwd=self.folder, stdout=log, stderr=log)
        self._wait()

    def kill(self) -> None:
        """End it by SIGKILL; `start` starts it again."""
        self._process.kill()
        self._process.wait()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def file(self) -> Path:
        """Its configuration."""
        return self.folder / "prometheus.yml"

    def configure(self, text: str) -> None:
        """Write its configuration, which it reads at its start and at each `reload`."""
        self.file.write_text(text.replace(OWN, f"127.0.0.1:{self.port}"))

    def reload(self) -> None:
        """Have it read its configuration and its rules again."""
        self._process.send_signal(signal.SIGHUP)

    def wait_for(self, metric: str) -> None:
        """Wait until a metric has been scraped; Prometheus discovers its targets every five seconds."""
        deadline = time.monotonic() + 60
        while not self.query(metric):
            assert time.monotonic() < deadline, f"{metric} was not scraped"
            time.sleep(0.1)

    def query(self, expression: str) -> list[dict[str, Any]]:
        """Return the samples of an expression now."""
        return self.get("query", query=expression)["result"]  # type: ignore[no-any-return]

    def get(self, path: str, **parameters: str) -> Any:
        """Return the data that a path of its API answers."""
        url = f"{self.url}/api/v1/{path}?{urllib.parse.urlencode(parameters)}"
        with urllib.request.urlopen(url, timeout=30) as answer:
            return json.load(answer)["data"]

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/-/ready", timeout=1).close()
                return
            except (OSError, urllib.error.URLError) as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise PrometheusUnavailable(
                        f"Prometheus did not start: {self._log.read_text()}"
                    ) from error
                time.sleep(0.05)


def receiving(
    *arguments: str, collector: str = CLOSED, alertmanager: str = CLOSED, own_rules: str = ""
) -> Prometheus:
    """Return a Prometheus 3 that is run as operators are told to, with the configuration that they get.

    Only the addresses are others, and what it scrapes is scraped every second.

    Args:
        arguments: more arguments of its command line.
        collector: the address of the Collector's own metrics.
        alertmanager: the address of Alertmanager.
        own_rules: the path of a file of rules beside those that operators get.
    """
    return Prometheus(
        program=program("prometheus"),
        configuration=shipped(collector, alertmanager, own_rules),
        arguments=(*FLAGS, "--web.enable-remote-write-receiver", *arguments),
    )


def shipped(collector: str, alertmanager: str, own_rules: str = "") -> str:
    """Return the configuration that operators get, with other addresses and a shorter interval."""
    rules = [f"{SHIPPED}/rules/*.yml", *([own_rules] if own_rules else [])]
    text = (SHIPPED / "prometheus.yml").read_text()
    replaced = {
        "scrape_interval: 15s": "scrape_interval: 1s",
        "scrape_timeout: 10s": "scrape_timeout: 1s",
        "rules/*.yml": ", ".join(rules),
        COLLECTOR: collector,
        ALERTMANAGER: alertmanager,
    }
    for old, new in replaced.items():
        assert old in text, f"{old} is no longer in the configuration"
        text = text.replace(old, new)
    return text


def _program() -> Path:
    if chosen := os.environ.get("TEST_PROMETHEUS") or shutil.which("prometheus"):
        return Path(chosen)
    try:
        return unpacked("prometheus", ("prometheus",), PROGRAM) / PROGRAM
    except PackageUnavailable as error:
        raise PrometheusUnavailable(
            f"no prometheus found, nor could Debian's be fetched ({error}):"
            " install prometheus, or name the program in TEST_PROMETHEUS"
        ) from error
