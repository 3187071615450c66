"""Host applications in environments of their own, with one stand-in."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from examples.screener.standin.client import StandIn
from exporters.sql.schema import migrate
from tests.environments import interpreter
from tests.fresh import PROJECT, Nursery, nursery
from tests.wheel import installed_wheel

HOST = Path(__file__).with_name("host.py")
THIS = "this"
"""The environment of the tests themselves: the newest of everything."""


@pytest.fixture(scope="session")
def installed() -> Path:
    """The wheel of this checkout, as a folder that any environment can put on its path."""
    return installed_wheel()


@pytest.fixture(scope="session")
def hosts(installed: Path) -> Iterator[Nursery]:
    """Runs programs for which the libraries and the parts of the wheel are imported already."""
    of_wheel = f"import sys; sys.path[0] = {str(installed)!r}\n{PROJECT}\nsys.path[0] = ''"
    with nursery(of_wheel) as started:
        yield started


@pytest.fixture
def before_1(tmp_path: Path) -> Path:
    """A folder for the path of a host, with those parts of openai 0.28 that telemetry examines."""
    folder = tmp_path / "before-1"
    (folder / "openai").mkdir(parents=True)
    (folder / "openai" / "__init__.py").write_text('VERSION = "0.28.1"\n')
    (folder / "openai-0.28.1.dist-info").mkdir()
    metadata = "Metadata-Version: 2.1\nName: openai\nVersion: 0.28.1\n"
    (folder / "openai-0.28.1.dist-info" / "METADATA").write_text(metadata)
    return folder


@pytest.fixture(scope="session")
def service() -> Iterator[StandIn]:
    with StandIn() as standin:
        yield standin


@dataclass
class Session:
    """A host process that has ended: its output, and the host with its database."""

    status: int
    out: str
    err: str
    host: Host = field(repr=False)

    @property
    def answer(self) -> Any:
        """The response of the host."""
        assert self.status == 0, self.err
        return json.loads(next(line for line in self.out.splitlines() if line.startswith('{"')))

    def run(self) -> dict[str, Any]:
        """Return the only run in the database."""
        (run,) = self.host.rows("telemetry_runs")
        return run


@dataclass
class Host:
    """A host application in one of the environments."""

    name: str
    url: str
    environment: dict[str, str]
    folder: Path
    nursery: Nursery

    @property
    def python(self) -> Path:
        return Path(sys.executable) if self.name == THIS else interpreter(f"host-{self.name}")

    def serve(self, *, agent: bool = False, **settings: str) -> Session:
        """Have the host answer one request; with `agent`, opentelemetry-instrument starts it."""
        command = [str(self.python), str(HOST)]
        if agent:
            command.insert(0, str(self.python.with_name("opentelemetry-instrument")))
            settings = {"TELEMETRY_DATABASE_URL": self.url, "TELEMETRY_HMAC_KEY": "key"} | settings
        return self.call(command, settings)

    def doctor(
        self,
        *options: str,
        flask: bool = True,
        agent: bool = False,
        verbose: bool = True,
        app: str = str(HOST),
        **settings: str,
    ) -> Session:
        """Run the doctor, as a command of Flask or by itself."""
        options = (*options, "-v") if verbose else options
        command = [str(self.python), "-m", "telemetry.doctor"]
        if flask:
            command = [str(self.python), "-m", "flask", "--app", app, "telemetry", "doctor"]
        if agent:
            command.insert(0, str(self.python.with_name("opentelemetry-instrument")))
        return self.call([*command, *options], settings)

    def call(self, command: list[str], settings: dict[str, str]) -> Session:
        path = os.pathsep.join(filter(None, [settings.get("PYTHONPATH"), self.environment.get("PYTHONPATH")]))
        env = self.environment | settings | {"PYTHONPATH": path}
        first, *arguments = command
        # Settings of the interpreter, and modules of a test's own, need one that has imported none.
        if first == sys.executable and not any(name.startswith("PYTHON") for name in settings):
            done = self.nursery.run(*arguments, cwd=self.folder, env=env)
        else:
            done = subprocess.run(
                command, cwd=self.folder, env=env, capture_output=True, text=True, timeout=300, check=False
            )
        return Session(done.returncode, done.stdout, done.stderr, self)

    def execute(self, *statements: str) -> None:
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.begin() as connection:
            for statement in statements:
                connection.execute(sa.text(statement))

    def rows(self, table: str) -> list[dict[str, Any]]:
        engine = sa.create_engine(self.url, poolclass=sa.NullPool)
        with engine.connect() as connection:
            return [dict(row) for row in connection.execute(sa.text(f"SELECT * FROM {table}")).mappings()]


NewHost = Callable[..., Host]


@pytest.fixture
def host(installed: Path, service: StandIn, sqlite_url: str, tmp_path: Path, hosts: Nursery) -> NewHost:
    """A function that creates a host in an environment, with a migrated database."""

    def make(name: str = THIS, url: str = sqlite_url) -> Host:
        migrate.upgrade(url, with_base_tables=True)
        service.clear()
        ours = re.compile("OTEL_|TELEMETRY_|PYTHON|FLASK_")
        environment = {key: value for key, value in os.environ.items() if not ours.match(key)}
        environment |= {
            "PYTHONPATH": str(installed),
            "OPENAI_API_KEY": "any",
            "OPENAI_BASE_URL": service.url,
            "HOST_DATABASE": url,
            "TELEMETRY_SPOOL_DIR": str(tmp_path / "spool"),
            "OTEL_TRACES_EXPORTER": "none",
            "OTEL_METRICS_EXPORTER": "none",
            "OTEL_LOGS_EXPORTER": "none",
        }
        return Host(name, url, environment, tmp_path, hosts)

    return make
