"""A real Prometheus, for tests.

The program is that of the system, else that of Debian's package, unpacked under `build` without being
installed. `TEST_PROMETHEUS` names a program to use instead.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Self

from tests.debian import PackageUnavailable, unpacked
from tests.postgres import free_port

PROGRAM = "usr/bin/prometheus"
CONFIGURATION = """\
global: {{scrape_interval: 200ms, scrape_timeout: 200ms}}
scrape_configs:
  - job_name: ours
    static_configs: [{{targets: [{targets}]}}]
"""


class PrometheusUnavailable(RuntimeError):
    """No Prometheus could be started; the message says why and what to do."""


class Prometheus:
    """A Prometheus that scrapes these ports five times a second; it runs within its `with` block."""

    def __init__(self, *ports: int) -> None:
        self.port = free_port()
        self._directory = Path(tempfile.mkdtemp(prefix="prometheus-"))
        targets = ", ".join(f'"127.0.0.1:{port}"' for port in ports)
        (self._directory / "prometheus.yml").write_text(CONFIGURATION.format(targets=targets))

    def __enter__(self) -> Self:
        options = {
            "config.file": self._directory / "prometheus.yml",
            "storage.tsdb.path": self._directory / "data",
            "web.listen-address": f"127.0.0.1:{self.port}",
            "log.level": "error",
        }
        command = [str(_program()), *(f"--{name}={value}" for name, value in options.items())]
        self._process = subprocess.Popen(command, cwd=self._directory)
        self._wait()
        return self

    def __exit__(self, *exception: object) -> None:
        self._process.kill()
        self._process.wait()
        shutil.rmtree(self._directory, ignore_errors=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_for(self, metric: str) -> None:
        """Wait until a metric has been scraped; Prometheus discovers its targets every five seconds."""
        deadline = time.monotonic() + 60
        while True:
            with urllib.request.urlopen(f"{self.url}/api/v1/query?query={metric}", timeout=5) as answer:
                if json.load(answer)["data"]["result"]:
                    return
            assert time.monotonic() < deadline, f"{metric} was not scraped"
            time.sleep(0.1)

    def _wait(self) -> None:
        deadline = time.monotonic() + 60
        while True:
            try:
                urllib.request.urlopen(f"{self.url}/-/ready", timeout=1).close()
                return
            except (OSError, urllib.error.URLError) as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise PrometheusUnavailable(f"Prometheus did not start: {error}") from error
                time.sleep(0.05)


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
