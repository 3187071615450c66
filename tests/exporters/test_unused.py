"""`unused` lists metrics and columns that no query reads; mentioning a name in prose is no use."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from exporters.catalogue.page import catalogue
from exporters.catalogue.usage import usage
from telemetry.cli.group import cli


def run(*arguments: str | Path) -> Result:
    return CliRunner().invoke(cli, ["unused", *map(str, arguments)])


def used_by(directory: Path, name: str) -> list[str]:
    """Return the files of a directory that use a metric or column."""
    (entry,) = [entry for entry in usage([directory]).entries if entry.name == name]
    return [Path(source).name for source in entry.used_by if Path(source).resolve().parent == directory]


def panel(**target: str) -> str:
    """Return a dashboard with one panel."""
    panels = [{"title": "analysis_errors_total", "description": "analysis_errors_total", "targets": [target]}]
    return json.dumps({"title": "Dashboard", "panels": panels})


@pytest.mark.parametrize(
    ("query", "metric"),
    [
        ("sum by (status) (rate(analysis_runs_total[5m]))", "analysis.runs"),
        (
            "histogram_quantile(0.95, sum by (le) (analysis_run_duration_seconds_bucket))",
            "analysis.run.duration",
        ),
        ("analysis_run_duration_seconds_sum / 1", "analysis.run.duration"),
        ("analysis_run_duration_seconds_count > 0", "analysis.run.duration"),
        ("analysis_candidate_score_bucket", "analysis.candidate.score"),
        ("increase(analysis_openai_backoff_seconds_total[1d])", "analysis.openai.backoff"),
        ("analysis_openai_headroom_ratio < 0.1", "analysis.openai.headroom.ratio"),
        ("telemetry_spool_oldest_age_seconds", "telemetry.spool.oldest_age"),
        ("label_values(analysis_openai_cost_usd_total, stage)", "analysis.openai.cost.usd"),
        ('{"analysis.runs.active", kind="analysis"}', "analysis.runs.active"),
    ],
)
def test_a_metric_in_a_query_is_used(tmp_path: Path, query: str, metric: str) -> None:
    """Any of its names in Prometheus counts, in a panel and in a rule, and for no other metric."""
    (tmp_path / "panel.json").write_text(panel(expr=query))
    (tmp_path / "rules.yaml").write_text(f"groups:\n- rules:\n  - record: analysis:x\n    expr: {query}\n")
    before = {entry.name: entry.used_by for entry in usage([tmp_path / "rules.yaml"]).entries}

    assert used_by(tmp_path, metric) == ["panel.json", "rules.yaml"]
    metrics = [
        entry.name
        for entry in usage([tmp_path]).entries
        if any("panel" in source for source in entry.used_by)
    ]
    assert metrics == [metric]
    assert [
        name for name, sources in before.items() if any("rules.yaml" in source for source in sources)
    ] == [metric]


def test_prose_comments_and_similar_names_are_no_use(tmp_path: Path) -> None:
    """Neither are descriptions of panels, and the catalogue itself."""
    (tmp_path / "panel.json").write_text(
        panel(expr="analysis_errors_total_by_nobody + my_analysis_errors_total")
    )
    (tmp_path / "page.md").write_text("The metric analysis.errors, or analysis_errors_total, is fine.")
    (tmp_path / "rules.yaml").write_text("# expr: analysis_errors_total\n")
    (tmp_path / "query.sql").write_text("-- analysis_errors_total\nSELECT 1;\n")
    (tmp_path / "catalogue.md").write_text(catalogue())

    assert used_by(tmp_path, "analysis.errors") == []
    assert used_by(tmp_path, "telemetry_fragments.schema_v") == []


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("panel.json", panel(rawSql="SELECT wasted_pico / 1e12 FROM telemetry_analysis_spend")),
        ("panel.json", panel(rawSql="SELECT spend.wasted_pico FROM telemetry_analysis_spend spend")),
        ("panel.json", panel(rawSql="SELECT * FROM telemetry_analysis_spend")),
        ("query.sql", "select 1, spend.* from telemetry_analysis_spend spend"),
        ("query.sql", "select wasted_pico\nfrom telemetry_analysis_spend"),
        ("page.md", "Of `telemetry_analysis_spend`:\n\n```sql\nSELECT wasted_pico FROM x\n```\n"),
    ],
)
def test_a_column_in_a_query_of_its_view_is_used(tmp_path: Path, name: str, text: str) -> None:
    """Both names must be in the same query, or in the code of the same page."""
    (tmp_path / name).write_text(text)

    assert used_by(tmp_path, "telemetry_analysis_spend.wasted_pico") == [name]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("panel.json", panel(rawSql="SELECT wasted_pico FROM elsewhere", other="telemetry_analysis_spend")),
        ("panel.json", panel(rawSql="SELECT COUNT(*) FROM telemetry_analysis_spend")),
        ("page.md", "The view `telemetry_analysis_spend` has wasted_pico."),
        ("query.sql", "-- SELECT wasted_pico\nSELECT 1 FROM telemetry_analysis_spend"),
        ("code.py", 'QUERY = "SELECT wasted_pico FROM telemetry_analysis_spend"'),
        (".hidden.md", "`telemetry_analysis_spend.wasted_pico`"),
    ],
)
def test_a_column_elsewhere_is_not_used(tmp_path: Path, name: str, text: str) -> None:
    """It may be in another query, in prose, in a comment, or in Python code."""
    directory = tmp_path / ".git" if name.startswith(".") else tmp_path
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(text)

    assert used_by(tmp_path, "telemetry_analysis_spend.wasted_pico") == []


def test_columns_that_views_read_are_used(tmp_path: Path) -> None:
    """Columns that only telemetry's code reads or writes are not."""
    users: dict[str, Any] = {entry.name: entry.used_by for entry in usage([tmp_path]).entries}

    assert "view telemetry_jobs" in users["telemetry_runs.backoff_us"]
    assert users["telemetry_fragments.schema_v"] == users["telemetry_runs.enqueued_at"] == ()
    assert users["analyses.cost_breakdown"] == ()


def test_the_report_lists_what_is_not_used(tmp_path: Path) -> None:
    """It has the meaning of every name; the command exits 1 only with --fail."""
    (tmp_path / "rules.yml").write_text("expr: analysis_runs_total")
    plain = run(tmp_path)
    failed = run(tmp_path, "--fail")

    assert (plain.exit_code, failed.exit_code, plain.output) == (0, 1, failed.output)
    assert "metric  analysis.errors " in plain.output and "Errors recorded in runs." in plain.output
    assert "metric  analysis.runs " not in plain.output
    assert plain.output.splitlines()[-1].startswith(f"{len(plain.output.splitlines()) - 2} of ")


def test_the_report_as_json_says_where_it_looked(tmp_path: Path) -> None:
    """`--all` adds everything that is used, and where."""
    (tmp_path / "rules.yml").write_text("expr: analysis_runs_total")
    unused = json.loads(run(tmp_path, "--json").output)
    everything = json.loads(run(tmp_path, "--json", "--all").output)

    assert {entry["kind"] for entry in unused["entries"]} == {"metric", "column"}
    assert all(entry["used_by"] == [] and entry["meaning"] for entry in unused["entries"])
    assert "view telemetry_jobs" in unused["looked_at"]
    assert any(source.endswith("rules.yml") for source in unused["looked_at"])
    (runs,) = [entry for entry in everything["entries"] if entry["name"] == "analysis.runs"]
    assert [Path(source).name for source in runs["used_by"]] == ["rules.yml"]


def test_a_missing_directory_is_named(tmp_path: Path) -> None:
    """The command exits 2."""
    result = run(tmp_path / "dashboards")

    assert result.exit_code == 2
    assert "dashboards' does not exist" in result.output


def test_invalid_files_are_searched_as_text(tmp_path: Path) -> None:
    """They may be no valid UTF-8, JSON or YAML."""
    (tmp_path / "a.json").write_bytes(b'{"expr": "analysis_errors_total", \xff')
    (tmp_path / "b.yaml").write_bytes(b"\xff: not YAML, but analysis_errors_total")

    assert used_by(tmp_path, "analysis.errors") == ["a.json", "b.yaml"]


def test_this_repository_uses_what_its_documents_name() -> None:
    """Without arguments, the pages of this project are searched."""
    users = {entry.name: entry.used_by for entry in usage().entries}

    assert "docs/explanation/spool.md" in {Path(by).as_posix() for by in users["telemetry.spool.shed"]}
    assert not [by for sources in users.values() for by in sources if by.endswith("catalogue.md")]
