"""The doctor prints one line for each problem, with what to do; the exit status is the number of problems."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import time
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from exporters.sql.schema import migrate
from exporters.sql.storage import runs as run_storage
from tests.choice import first_of
from tests.compatibility.conftest import HOST, Host, NewHost, Session
from tests.exporters.makers import Fragment, call


def wrong(session: Session) -> list[str]:
    """Return the lines of problems; the exit status must be their number."""
    lines = [line for line in session.out.splitlines() if line.startswith("✗")]
    assert session.status == len(lines), session.out + session.err
    assert all(" → " in line for line in lines), "each line says what to do"
    return lines


def only(session: Session) -> str:
    """Return the line of the only problem."""
    (line,) = wrong(session)
    return line


def test_healthy_host_has_no_problem(host: NewHost, installed: Path) -> None:
    """The output is plain text with the file of each entry point; the exit status is 0; nothing is stored."""
    healthy = host()

    session = healthy.doctor()

    assert wrong(session) == []
    assert "\033" not in session.out
    assert session.err == ""
    for line in (
        "✓ settings        valid",
        "✓ set-up          telemetry is on",
        "✓ attempts        of OpenAI calls are counted, retries and 429s included",
        "✓ tracer provider whatever it exports is sanitised",
        f"✓ entry point     flask.commands: telemetry is {installed}/telemetry/cli/group.py",
        f"✓ package         exporters is in {installed}",
        f"✓ database        reachable, at revision {migrate.head()}, the newest",
        "✓ host tables     have all that telemetry needs",
        "✓ projection      every row shows its runs",
    ):
        assert line in session.out.splitlines()
    for library, by in (("openai", "genai-openai"), ("sqlalchemy", "sqlalchemy"), ("flask", "flask")):
        seen = f"{library} {version(library)} is seen, by opentelemetry-instrumentation-{by}"
        assert f"✓ instrumentation {seen} {version(f'opentelemetry-instrumentation-{by}')}" in session.out
    assert healthy.rows("telemetry_runs") == []


def test_problems_come_first(host: NewHost) -> None:
    """Notes follow, and then the number of things that are fine, or all of them."""
    ill = host()
    ill.environment["TELEMETRY_METRICS_PORT"] = "abc"

    brief, full = (ill.doctor(verbose=verbose) for verbose in (False, True))

    *shown, fine, summary = brief.out.splitlines()
    assert [line[0] for line in shown] == sorted((line[0] for line in shown), key="✗!".index)
    assert wrong(brief) == wrong(full) == shown[: brief.status]
    count = sum(line.startswith("✓") for line in full.out.splitlines())
    assert (fine, summary) == (
        f"✓ {count} things are fine (-v lists them)",
        f"{brief.status} things are wrong.",
    )
    assert [line for line in full.out.splitlines() if not line.startswith("✓")] == [*shown, summary]
    everything = json.loads(ill.doctor("--json", verbose=False).out)["checks"]
    assert len(everything) == count + len(shown)


BROKEN = {
    "no-abi": ("prometheus_client", "raise ImportError('undefined symbol: PyUnicode_AsUTF8')", "ImportError"),
    "half": ("apprise", "import a_dependency_that_is_not_there", "ModuleNotFoundError: No module named"),
    "says-nothing": ("cachetools", "raise RuntimeError", "RuntimeError: without a message"),
    "leaves": ("rich", "raise SystemExit('unsupported platform')", "SystemExit: unsupported platform"),
}


@pytest.mark.parametrize("name", first_of(BROKEN, "another error of the same import"))
def test_broken_library_of_an_extra_is_a_problem(name: str, host: NewHost, tmp_path: Path) -> None:
    """Being installed is not enough; the line has the error of the import, and what to do."""
    module, program, complaint = BROKEN[name]
    broken = tmp_path / "broken" / module
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(f"{program}\n")

    session = host().doctor("--no-run", PYTHONPATH=str(broken.parent))

    distribution = module.replace("_", "-")
    (line,) = [line for line in wrong(session) if f"library         {distribution} " in line]
    assert "cannot be imported: " + complaint in line
    if name == "half":
        assert line.endswith("→ pip install 'analysis-telemetry[notify]'")
    else:
        assert f"→ pip install --force-reinstall '{distribution}>=" in line
    assert f"✓ library         {distribution} " not in session.out


def test_broken_driver_is_a_note(host: NewHost, tmp_path: Path) -> None:
    """A driver is the application's own, and no problem unless the database needs it."""
    broken = tmp_path / "broken" / "psycopg"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text("raise ImportError('no pq wrapper available')")

    session = host().doctor("--no-run", PYTHONPATH=str(broken.parent))

    assert wrong(session) == []
    (line,) = [line for line in session.out.splitlines() if line.startswith("! library")]
    assert "cannot be imported: ImportError: no pq wrapper available" in line
    assert "pip install 'psycopg[binary]'" in line


def test_missing_runs_are_a_note(host: NewHost) -> None:
    """Where all calls are orphans, the note says what to add; where there is any run, there is no note."""
    plain = host()
    engine = sa.create_engine(plain.url, poolclass=sa.NullPool)
    now = time.time_ns()
    ended: dict[str, Any] = {"opened_at": now, "closed_at": now, "ends_run": True, "status": "completed"}
    orphans = Fragment(kind="orphan", **ended).calls(*[call() for _ in range(3)])
    run_storage.deliver(engine, orphans.snapshot())

    session = plain.doctor("--no-run")

    assert wrong(session) == []
    assert (
        "! runs            none was begun in 30 days, and 3 calls to OpenAI made outside any" in session.out
    )
    assert 'with telemetry.run("analysis"' in session.out
    run_storage.deliver(engine, Fragment(opened_at=now).calls(call()).close())
    assert "! runs" not in plain.doctor("--no-run").out


def test_unsupported_openai_is_a_problem(host: NewHost) -> None:
    """The line has the installed version, the required one, and how to install it."""
    lines = wrong(host("old").doctor())

    assert "openai 1.6.1 is not supported any more (1.26.0 or newer is)" in lines[0]
    assert lines[0].endswith("→ pip install 'openai>=1.26.0,<4'")
    assert "openai is not seen" in lines[1]
    assert len(lines) == 2


def test_openai_before_1_is_a_problem(host: NewHost, before_1: Path) -> None:
    """The lines have the required version, and say that attempts are not counted."""
    library, *others = wrong(host().doctor(flask=False, PYTHONPATH=str(before_1)))

    assert "openai 0.28.1 is not supported any more (1.26.0 or newer is)" in library
    assert library.endswith("→ pip install 'openai>=1.26.0,<4'")
    assert any("✗ attempts        of OpenAI calls are not counted" in line for line in others)


def test_missing_sdk_is_a_problem(host: NewHost) -> None:
    """The doctor works although much is missing, and names everything that follows."""
    bare = host("bare")

    for session in (bare.doctor(), bare.doctor(flask=False, TELEMETRY_DATABASE_URL=bare.url)):
        lines = "\n".join(wrong(session))
        for complaint in (
            "opentelemetry-sdk is not installed: telemetry is off → pip install 'analysis-telemetry[sdk]'",
            "wrapt is not installed beside openai 3.54.0",
            "set-up          telemetry is off: No module named 'opentelemetry.sdk'",
            "database        cannot be looked at: No module named 'alembic'",
        ):
            assert complaint in lines


def test_missing_instrumentations_are_problems(host: NewHost) -> None:
    """Each one is named whose library is installed."""
    lines = "\n".join(wrong(host("uninstrumented").doctor()))

    for missing in ("genai-openai", "flask", "sqlalchemy"):
        assert f"opentelemetry-instrumentation-{missing} is not installed beside" in lines
    assert "✗ prices          there is no price list" in lines
    assert "attempts" not in lines, "our own hook works"


def test_newer_unknown_version_is_a_problem(host: NewHost, tmp_path: Path) -> None:
    """A release above the supported range is named."""
    metadata = tmp_path / "newer" / "openai-4.0.0.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text("Metadata-Version: 2.1\nName: openai\nVersion: 4.0.0\n")

    line = only(host().doctor(PYTHONPATH=str(tmp_path / "newer")))

    assert "openai 4.0.0 is not supported yet (below 4 is)" in line


@pytest.mark.parametrize(
    "configurator", first_of(["analysis_telemetry", "configurator"], "the same line with another name")
)
def test_configurator_of_upstream_is_a_problem(configurator: str, host: NewHost) -> None:
    """With our configurator there is no problem; with upstream's the exports are not sanitised."""
    session = host("distro").doctor(
        agent=True, OTEL_TRACES_EXPORTER="console", OTEL_PYTHON_CONFIGURATOR=configurator
    )

    if configurator == "analysis_telemetry":
        assert wrong(session) == []
    else:
        assert "tracer provider exports by ConsoleSpanExporter" in only(session)
        assert only(session).endswith("OTEL_PYTHON_CONFIGURATOR=analysis_telemetry")


def test_exporters_of_the_host_are_a_problem(host: NewHost) -> None:
    """Exporters that telemetry did not set up are not sanitised."""
    assert "tracer provider exports by ConsoleSpanExporter" in only(host().doctor(HOST_EXPORTS="1"))


def test_disabled_instrumentation_is_a_note(host: NewHost) -> None:
    """It was disabled on purpose."""
    session = host().doctor(OTEL_PYTHON_DISABLED_INSTRUMENTATIONS="sqlalchemy")

    assert wrong(session) == []
    assert (
        "! instrumentation sqlalchemy is switched off by OTEL_PYTHON_DISABLED_INSTRUMENTATIONS" in session.out
    )


def test_invalid_setting_is_a_problem(host: NewHost) -> None:
    """The lines name the setting, and say that telemetry is off."""
    lines = wrong(host().doctor(TELEMETRY_METRICS_PORT="abc"))

    assert "TELEMETRY_METRICS_PORT='abc' must be a whole number" in lines[0]
    assert "telemetry is off as long as the settings are wrong" in lines[1]


def test_telemetry_switched_off_is_a_note(host: NewHost) -> None:
    """It was switched off on purpose."""
    session = host().doctor(TELEMETRY_ENABLED="false")

    assert wrong(session) == []
    assert "! set-up          telemetry is off: TELEMETRY_ENABLED is false" in session.out


def test_unusable_database_spool_and_prices_are_problems(host: NewHost, tmp_path: Path) -> None:
    """Each line has the path or revision, the reason, and the consequence."""
    behind = host()
    migrate.downgrade(behind.url, "2_telemetry_tables")
    prices, spool = tmp_path / "prices.toml", tmp_path / "prices.toml" / "spool"
    prices.write_text('version = "1"\n[[price]]\nmodel = "x"\ninput = -1\n')

    lines = wrong(behind.doctor(TELEMETRY_PRICES_FILE=str(prices), TELEMETRY_SPOOL_DIR=str(spool)))
    of = {line.split()[1]: line for line in lines}

    assert str(prices) in of["prices"] and "must not be negative: calls are unpriced" in of["prices"]
    assert (
        f"at revision 2_telemetry_tables; the newest is {migrate.head()} → flask telemetry db upgrade"
        in of["database"]
    )
    assert f"{spool} cannot be written" in of["spool"] and "TELEMETRY_SPOOL_DIR" in of["spool"]


def test_unreachable_database_is_a_problem(host: NewHost) -> None:
    """The line has its address without the password."""
    url = "postgresql+psycopg2://somebody:hidden@127.0.0.1:1/nowhere"

    session = host().doctor(TELEMETRY_DATABASE_URL=url)

    assert "✗ database        cannot connect to" in only(session)
    assert "hidden" not in session.out + session.err


def test_folder_that_hides_our_package_is_a_problem(host: NewHost, tmp_path: Path) -> None:
    """Python finds the host's own `exporters` first, so that controlling cannot be imported."""
    (tmp_path / "exporters").mkdir()
    (tmp_path / "exporters" / "__init__.py").write_text("")

    # An interpreter of its own, which has imported ours from nowhere else.
    lines = wrong(host().doctor(flask=False, PYTHONPATH=""))

    assert any("exporters.process.pipeline, which is not there" in line for line in lines)


def test_copied_packages_without_entry_points_are_a_problem(
    host: NewHost, tmp_path: Path, installed: Path
) -> None:
    """Packages that are on the path but not installed have no entry points."""
    for name in ("telemetry", "exporters"):
        (tmp_path / name).symlink_to(installed / name)
    copied = host("bare")
    copied.environment["PYTHONPATH"] = ""

    lines = wrong(copied.doctor(flask=False))

    assert "entry points    analysis-telemetry is not installed here" in lines[0]


APPS = {
    "unaware": ("import flask\napp = flask.Flask('unaware')\n", "unaware does not set telemetry up"),
    "broken": (
        "raise RuntimeError('no configuration')\n",
        "cannot be loaded: RuntimeError: no configuration",
    ),
}


@pytest.mark.parametrize("name", APPS)
def test_unusable_application_is_a_problem(name: str, host: NewHost, tmp_path: Path) -> None:
    """If it does not set telemetry up, or cannot be loaded, everything else is checked all the same."""
    program, complaint = APPS[name]
    (tmp_path / f"{name}.py").write_text(program)

    session = host().doctor(app=f"{name}.py")

    assert f"✗ application     {complaint}" in only(session)
    assert "✓ set-up          telemetry is on" in session.out


def test_marks_are_coloured_on_a_terminal(host: NewHost) -> None:
    """NO_COLOR switches colours off."""
    healthy = host()

    assert "\033[32m✓\033[0m settings" in on_a_terminal(healthy)
    assert "\033" not in on_a_terminal(healthy, NO_COLOR="1")


def test_marks_are_words_in_ascii(host: NewHost) -> None:
    """Where the encoding lacks the marks, words replace them."""
    session = host().doctor(PYTHONIOENCODING="ascii")

    assert session.status == 0
    assert "ok settings        valid" in session.out


def on_a_terminal(host: Host, **settings: str) -> str:
    """Return what the doctor prints on a terminal."""
    controlling, terminal_end = pty.openpty()
    command = [str(host.python), "-m", "flask", "--app", str(HOST), "telemetry", "doctor", "-v"]
    environment = host.environment | {"TERM": "xterm"} | settings
    with subprocess.Popen(command, stdout=terminal_end, cwd=host.folder, env=environment):
        os.close(terminal_end)
        shown = b""
        while part := _read(controlling):
            shown += part
    os.close(controlling)
    return shown.decode()


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # Linux reports the end in this way
        return b""


# The host's tables


def test_missing_host_columns_are_problems(host: NewHost) -> None:
    """Required columns are named, and added ones that another migration dropped."""
    broken = host()
    broken.execute("ALTER TABLE analyses RENAME COLUMN user_id TO owner_id")
    broken.execute("ALTER TABLE analyses DROP COLUMN cost_per_candidate")

    lines = [line for line in wrong(broken.doctor("--no-run")) if "host tables" in line]

    assert len(lines) == 2
    assert "analyses.user_id is not there → add it" in lines[0]
    assert "analyses.cost_per_candidate is not there, though telemetry adds it → flask telemetry" in lines[1]


def test_missing_optional_columns_are_a_note(host: NewHost) -> None:
    """The note says what telemetry does without."""
    lean = host()
    lean.execute("ALTER TABLE candidate_files DROP COLUMN file_bytes")

    session = lean.doctor("--no-run")

    assert wrong(session) == []
    (line,) = [line for line in session.out.splitlines() if "host tables" in line]
    assert line.startswith(
        "! host tables     telemetry does without candidate_files.file_bytes, which is not"
    )


def test_lagging_rows_are_a_problem(host: NewHost) -> None:
    """The line has their number, the time since when, and the error."""
    sealed = host()
    sealed.execute(
        "INSERT INTO users (id, email, password_hash, name, created_at)"
        " VALUES (1, 'a@example.com', 'x', 'n', '2026-09-21 12:00:00')",
        "INSERT INTO analyses (id, user_id, num_candidates, num_criteria, cost_usd, created_at)"
        " VALUES (1, 1, 1, 1, 1, '2026-09-21 12:00:00')",
        "INSERT INTO telemetry_runs (run_id, kind, source, synthetic, analysis_ref, user_ref, version,"
        " status, started_at, ended_at, seen_at, cost_complete) VALUES ('r', 'analysis', 'spans', 0, 1, 1, 1,"
        " 'completed', '2026-10-01 10:00:00', '2026-10-01 10:00:01', '2026-10-01 10:00:02', 1)",
        "CREATE TRIGGER sealed BEFORE UPDATE ON analyses BEGIN SELECT RAISE(ABORT, 'rows are sealed'); END",
    )

    (line,) = wrong(sealed.doctor("--no-run"))

    assert line.startswith("✗ projection      1 row of analyses since 2026-10-01 10:00 UTC (1): ")
    assert "IntegrityError: rows are sealed" in line
