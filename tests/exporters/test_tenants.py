"""Entries that wait in the spool for one database never reach another."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import flask
import pytest
import sqlalchemy as sa
from flask_sqlalchemy import SQLAlchemy

import telemetry
from exporters.metrics.totals import Totals
from exporters.process.pipeline import Pipeline
from exporters.process.spool_keeper import SpoolKeeper
from exporters.rollup.snapshot import Snapshot
from exporters.spool.directory import Spool
from exporters.spool.entry import ANY, Target
from exporters.sql.schema import migrate
from telemetry.settings import Settings
from telemetry.testing import recording
from telemetry.web.extension import Telemetry
from tests.exporters.makers import Fragment, Host
from tests.postgres import TemporaryPostgres
from tests.waiting import until

TENANT = "?options=-csearch_path%3D"


class Tenants:
    """The applications of two tenants on one machine, with one spool directory."""

    def __init__(self, urls: dict[str, str], folder: Path) -> None:
        self.urls, self.spool_dir = urls, folder / "spool"

    def settings(self, name: str) -> Settings:
        return Settings(
            database_url=self.urls[name],
            spool_dir=self.spool_dir,
            hmac_key="secret",
            heartbeat_seconds=0.2,
            checkpoint_seconds=0.1,
        )

    def leave_behind(self, name: str, *items: Snapshot) -> Path:
        """Spool snapshots in a process of this tenant that has ended; return its directory."""
        spool = Spool(self.settings(name), Totals())
        for item in items:
            spool.put(item)
        directory = spool.directory()
        spool.close()
        return directory

    def recover(self, name: str) -> Pipeline:
        pipeline = Pipeline(self.settings(name))
        assert pipeline.writer is not None
        pipeline.writer.recover(20)
        pipeline.writer.drain(0)
        return pipeline

    def has_only(self, name: str, run_id: str | None) -> bool:
        """Return whether one run is all that a tenant has."""
        return self.runs(name) == {run_id}

    def runs(self, name: str) -> set[str]:
        engine = sa.create_engine(self.urls[name], poolclass=sa.NullPool)
        with engine.connect() as connection:
            return set(connection.execute(sa.text("SELECT run_id FROM telemetry_runs")).scalars())


@pytest.fixture
def tenants(postgres_host: Host, tmp_path: Path) -> Tenants:
    """Two tenants with a schema each, by `search_path`."""
    urls = {}
    for name in ("a", "b"):
        postgres_host.execute(f"CREATE SCHEMA tenant_{name}")
        urls[name] = f"{postgres_host.url}{TENANT}tenant_{name}"
        migrate.upgrade(urls[name], with_base_tables=True)
    return Tenants(urls, tmp_path)


@pytest.fixture
def users(postgres: TemporaryPostgres, tmp_path: Path) -> Iterator[Tenants]:
    """Two tenants with a database user each, and a schema of the user's name."""
    database = postgres.create_database()
    names = {name: f"user_{name}_{database[-8:]}" for name in ("a", "b")}
    for user in names.values():
        postgres.execute(f"CREATE ROLE {user} LOGIN SUPERUSER")
        Host(database).execute(f"CREATE SCHEMA {user} AUTHORIZATION {user}")
    urls = {name: database.replace("postgres@", f"{user}@") for name, user in names.items()}
    for url in urls.values():
        migrate.upgrade(url, with_base_tables=True)
    yield Tenants(urls, tmp_path)
    postgres.drop_database(database)
    for user in names.values():
        postgres.execute(f"DROP ROLE {user}")


def test_tenants_with_schemas_do_not_share_entries(tenants: Tenants) -> None:
    """Entries for one schema are delivered only by processes of that schema."""
    final = Fragment(candidates=1).close()
    directory = tenants.leave_behind("a", final)
    tenants.recover("b")
    assert (tenants.runs("a"), tenants.runs("b"), directory.exists()) == (set(), set(), True)

    tenants.recover("a")
    assert (tenants.runs("a"), tenants.runs("b"), directory.exists()) == ({final.run_id}, set(), False)


def test_a_file_copied_to_another_database_is_refused(
    tenants: Tenants, caplog: pytest.LogCaptureFixture
) -> None:
    """A file has the key of its database; one line names it, and other entries are delivered."""
    forged, own = Fragment().close(), Fragment().close()
    copied = tenants.leave_behind("a", forged) / f"{forged.fragment_id}.json"
    target = tenants.leave_behind("b", own)
    shutil.copy(copied, target)
    (target / copied.name).chmod(0o600)
    spool = tenants.recover("b").spool

    assert (tenants.runs("a"), tenants.runs("b")) == (set(), {own.run_id})
    assert [path.name for path in spool.unreadable()] == [copied.name]
    (line,) = [line for line in caplog.messages if copied.name in line]
    assert "another database" in line


def test_a_quarantined_file_copied_to_another_database_is_refused(tenants: Tenants) -> None:
    """`spool retry` does not deliver it."""
    refused = Fragment().close()
    spool = Spool(tenants.settings("a"), Totals())
    spool.put(refused)
    spool.quarantine(refused, "DataError")
    spool.close()
    other = SpoolKeeper(tenants.settings("b"))
    other.root.mkdir(mode=0o700, exist_ok=True)
    shutil.copytree(spool.root / "dead", other.root / "dead")
    (other.root / "dead").chmod(0o700)

    assert [snapshot.error for snapshot in other.retry()] == ["ValueError"]
    assert [snapshot.error for snapshot in SpoolKeeper(tenants.settings("a")).retry()] == [""]
    assert (tenants.runs("a"), tenants.runs("b")) == ({refused.run_id}, set())


def test_tenants_with_schemas_by_user_do_not_share_entries(
    users: Tenants, caplog: pytest.LogCaptureFixture
) -> None:
    """PostgreSQL searches the schema of the user's name first, so that users reach different tables."""
    final = Fragment(candidates=1).close()
    users.leave_behind("a", final)
    users.recover("b")
    assert (users.runs("a"), users.runs("b")) == (set(), set())
    assert len([line for line in caplog.messages if "user_a" in line]) == 1

    users.recover("a")
    assert (users.runs("a"), users.runs("b")) == ({final.run_id}, set())


def test_users_of_one_schema_share_entries(postgres_host: Host, tmp_path: Path) -> None:
    """After its user was changed, an application still delivers what it had spooled before."""
    rotated = f"rotated_{postgres_host.url[-8:]}"
    postgres_host.execute(f"CREATE ROLE {rotated} LOGIN SUPERUSER")
    both = Tenants(
        {"a": postgres_host.url, "b": postgres_host.url.replace("postgres@", f"{rotated}:new@")}, tmp_path
    )
    final = Fragment(candidates=1).close()
    both.leave_behind("a", final)
    both.recover("b")

    assert both.runs("a") == {final.run_id}
    postgres_host.execute(f"DROP ROLE {rotated}")


def old_key(url: str) -> str:
    """Return the key that an earlier version used for this database."""
    engine_url = sa.make_url(url)
    if engine_url.get_backend_name() == "sqlite":
        place = f"sqlite:///{os.path.realpath(str(engine_url.database))}"
    else:
        options = engine_url.query.get("options")
        more = f"?options={options}" if options else ""
        place = f"postgresql://{engine_url.host}:{engine_url.port}/{engine_url.database}{more}"
    return hashlib.sha256(place.encode()).hexdigest()[:16]


def make_old(tenants: Tenants, directory: Path, key: str) -> Path:
    """Turn the directory of a dead process into one of an earlier version; return it."""
    folder = tenants.spool_dir / key
    folder.mkdir(exist_ok=True)
    for file in directory.glob("*.json"):
        snapshot = Snapshot.from_json(file.read_text())
        file.write_text(ANY.write(snapshot))
        file.chmod(0o664)  # that version left modes to the umask
    return directory.rename(folder / directory.name)


def test_entries_of_an_earlier_version_are_delivered(host: Host, tmp_path: Path) -> None:
    """They are under the old key, and do not name their database."""
    tenants = Tenants({"a": host.url}, tmp_path)
    final = Fragment(candidates=1).close()
    old = make_old(tenants, tenants.leave_behind("a", final), old_key(host.url))
    tenants.recover("a")

    assert tenants.runs("a") == {final.run_id}
    assert not old.parent.exists()


def test_entries_of_an_earlier_version_reach_their_own_schema(tenants: Tenants) -> None:
    """The old key differs between schemas, too."""
    finals = {name: Fragment(candidates=1).close() for name in ("a", "b")}
    for name, final in finals.items():
        make_old(tenants, tenants.leave_behind(name, final), old_key(tenants.urls[name]))
    for name in ("b", "a"):
        tenants.recover(name)

    assert {name: tenants.runs(name) for name in ("a", "b")} == {
        name: {final.run_id} for name, final in finals.items()
    }


def test_entries_of_the_first_version_follow_their_run(
    tenants: Tenants, caplog: pytest.LogCaptureFixture
) -> None:
    """Its key ignored schemas: an entry is delivered to the database that has its run already."""
    shared = hashlib.sha256(
        tenants.urls["a"].partition("?")[0].replace("+psycopg2", "").replace("postgres@", "").encode()
    ).hexdigest()[:16]
    begun, ended = (fragment := Fragment(candidates=1)).snapshot(), fragment.close()
    tenants.leave_behind("a", begun)
    tenants.recover("a")
    unknown = Fragment(candidates=1).close()
    old = make_old(tenants, tenants.leave_behind("a", replace(ended, seq=9), unknown), shared)
    tenants.recover("b")
    assert tenants.runs("b") == set() and len(list(old.glob("*.json"))) == 2

    tenants.recover("a")
    assert tenants.runs("a") == {ended.run_id}
    assert [file.stem for file in old.glob("*.json")] == [unknown.fragment_id]
    assert any(unknown.fragment_id in line for line in caplog.messages), "it is kept and logged"


def test_living_processes_deliver_to_their_own_schema(tenants: Tenants) -> None:
    """One process records for both, one after the other."""
    for name in ("a", "b"):
        with recording(tenants.settings(name)):
            with telemetry.run("intake") as run:
                pass
            until(partial(tenants.has_only, name, run.run_id))


SAME = [
    ("postgresql://ada:one@db/app", "postgresql+psycopg://ada:two@db:5432/app?application_name=web"),
    ("postgresql://ada@db/app", "postgres://bob@db/app?sslmode=require&connect_timeout=3"),
    ("postgresql://a@db/app?keepalives=1&options=-csearch_path%3Dx", "postgresql://a@db/app?options=-c%20search_path%3Dx"),
    ("postgresql://a@db/app?options=-csearch_path%3Dx%20-cstatement_timeout%3D5s", "postgresql://a@db/app?options=--search-path%3Dx"),
    ("postgresql://a@/app?host=one&host=two", "postgresql://a@/app?host=two,one"),
    ("postgresql://a@/app?host=/run/pg&service=x", "postgresql://a@/app?service=x&host=/run/pg"),
    ("postgresql+asyncpg://a@db/app?ssl=require&command_timeout=3", "postgresql+psycopg2://a@db/app?sslmode=require"),
    ("postgresql://a:p%2Fq@db/app", "postgresql://a:p/q@db/app"),
    ("postgresql://a@db/app?password=one", "postgresql://a@db/app?password=two&sslpassword=x"),
    ("sqlite:///x.db", f"sqlite:///{Path('x.db').absolute()}"),
    ("sqlite:///x.db?timeout=3", "sqlite:///file:x.db?uri=true"),
    ("sqlite:///x.db", "sqlite+aiosqlite:///folder/../x.db"),
]  # fmt: skip
DIFFERENT = [
    ("postgresql://a@db/app", "postgresql://a@db/app?options=-csearch_path%3Dx"),
    ("postgresql://a@db/app?options=-csearch_path%3Dy", "postgresql://a@db/app?options=-csearch_path%3Dx"),
    ("postgresql://a@db/app?options=-crole%3Dy", "postgresql://a@db/app?options=-crole%3Dx"),
    ("postgresql://a@db/app?options=-capp.tenant%3Dy", "postgresql://a@db/app?options=-capp.tenant%3Dx"),
    ("postgresql://a@/?service=one", "postgresql://a@/?service=two"),
    ("postgresql://a@/app?host=/run/one", "postgresql://a@/app?host=/run/two"),
    ("postgresql://a@db/app", "postgresql://a@db:5433/app"),
    ("postgresql://a@db/app", "postgresql://a@db/app?port=5433"),
    ("postgresql://a@db/app", "postgresql://a@db/app?dbname=other"),
    ("postgresql://a@db/app", "postgresql://a@db/app?hostaddr=10.0.0.1"),
    ("sqlite:///x.db", "sqlite:///y.db"),
    ("sqlite:///x.db", "sqlite:////x.db"),
]


@pytest.mark.parametrize(("one", "other"), SAME)
def test_urls_of_one_database_have_one_key(
    one: str, other: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Passwords, drivers, time-outs, the order of parameters and the spelling of a path do not matter."""
    assert Settings(database_url=one).spool_key() == Settings(database_url=other).spool_key()


@pytest.mark.parametrize(("one", "other"), DIFFERENT)
def test_urls_of_different_databases_have_different_keys(one: str, other: str) -> None:
    """So do URLs with different schemas, roles, services, servers or files."""
    assert Settings(database_url=one).spool_key() != Settings(database_url=other).spool_key()


@pytest.mark.parametrize(
    ("name", "value"), [("PGOPTIONS", "-csearch_path=x"), ("PGSERVICE", "x"), ("PGHOST", "/run/x")]
)
def test_variables_of_libpq_change_the_key(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They select a database as the URL does."""
    settings = Settings(database_url="postgresql:///app")
    before = settings.spool_key()
    monkeypatch.setenv(name, value)

    assert settings.spool_key() != before


def test_a_link_to_a_file_has_the_key_of_the_file(tmp_path: Path) -> None:
    """Two paths of one SQLite file are one database."""
    (tmp_path / "file").touch()
    (tmp_path / "link").symlink_to("file")
    keys = {Settings(database_url=f"sqlite:///{tmp_path}/{name}").spool_key() for name in ("file", "link")}

    assert len(keys) == 1


def test_a_file_has_the_key_of_its_database(tenants: Tenants) -> None:
    """The key is the name of the folder, and contains no secret."""
    final = Fragment().close()
    (file,) = tenants.leave_behind("a", final).glob("*.json")
    key = tenants.settings("a").spool_key()

    assert file.read_text() == Target(key).write(final)
    assert file.parent.parent.name == key


@pytest.mark.parametrize("driver", ["psycopg2", "psycopg"])
@pytest.mark.parametrize("way", ["engine", "Flask-SQLAlchemy"])
def test_connection_arguments_of_the_applications_engine_are_used(
    tenants: Tenants, postgres_host: Host, way: str, driver: str
) -> None:
    """Its `connect_args` select the schema of a tenant, which its URL does not."""
    url = postgres_host.url.replace("+psycopg2", f"+{driver}")
    known = {"connect_args": {"options": "-csearch_path=tenant_b"}}
    app = flask.Flask("host")
    app.config.update(SECRET_KEY="k", TELEMETRY_SPOOL_DIR=str(tenants.spool_dir))
    if way == "engine":
        Telemetry(app, engine=sa.create_engine(url, **known))
    else:
        app.config.update(SQLALCHEMY_DATABASE_URI=url, SQLALCHEMY_ENGINE_OPTIONS=known)
        SQLAlchemy(app)
        Telemetry(app)
    with app.app_context(), telemetry.run("analysis") as run:
        run_id = run.run_id
    telemetry.shutdown()

    assert (tenants.runs("a"), tenants.runs("b")) == (set(), {run_id})
