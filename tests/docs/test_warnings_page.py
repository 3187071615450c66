"""The examples of docs/how-to/warnings.md do what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import telemetry
from exporters.sql.schema import migrate
from telemetry.settings import Settings
from telemetry.testing import recording
from tests.exporters.makers import Host
from tests.waiting import until

PAGE = (Path(__file__).parents[2] / "docs/how-to/warnings.md").read_text()


def block(language: str, beginning: str) -> str:
    blocks = [text for text in re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL) if beginning in text]
    assert len(blocks) == 1, f"{len(blocks)} blocks with {beginning}"
    return str(blocks[0])


def test_examples_print_and_record_what_the_page_shows(
    sqlite_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The limits are printed as shown; warnings from Python code are recorded and answered."""
    migrate.upgrade(sqlite_url, with_base_tables=True)
    sqlite_host = Host(sqlite_url)
    sqlite_host.add_user(7)
    names: dict[str, Any] = {"telemetry": telemetry}
    settings = Settings(database_url=sqlite_host.url, spool_dir=tmp_path / "spool", hmac_key="secret")
    with recording(settings):
        exec(block("python", "run.warnings"), names)
        exec(block("python", "telemetry.warn("), names)
        until(lambda: None not in [row["user_action"] for row in rows(sqlite_host)] != [])

    assert capsys.readouterr().out == block("text", "")
    assert {row["warning_type"]: row["user_action"] for row in rows(sqlite_host)} == {
        "batch_too_large": "override",
        "jd_too_short": "continued",
        "resume_too_long": "continued",
    }


def rows(host: Host) -> list[dict[str, Any]]:
    return [dict(row) for row in host.rows("document_warnings")]
