"""What nothing uses is listed, and nothing else: a name counts where it is read, not where it is told."""

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
    """The files of a directory that use a metric or column."""
    (entry,) = [entry for entry in usage([directory]).entries if entry.name == name]
    return [Path(source).name for source in entry.used_by if Path(source).resolve().parent == directory]


def panel(**target: str) -> str:
    """A dashboard with one panel."""
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
        ("analysis_openai_headroom < 0.1", "analysis.openai.headroom"),
        ("analysis_openai_headroom_ratio < 0.1", "analysis.openai.headroom"),
        ("telemetry_spool_oldest_age_seconds", "telemetry.spool.oldest_age"),
        ("label_values(analysis_openai_cost_usd_total, stage)", "analysis.openai.cost.usd"),
        ('{"analysis.runs.active", kind="analysis"}', "analysis.runs.active"),
    ],
)
def test_a_metric_in_a_query(tmp_path: Path, query: str, metric: str) -> None:
    """Under any name that it has in Prometheus, in a panel and in a rule; and no other metric with it."""
    (tmp_path / "panel.json").write_text(panel(expr=query))
    (tmp_path / "rules.yaml").write_text(f"groups:\n- rules:\n  - record: analysis:x\n    expr: {query}\n")
    before = {entry.name: entry.used_by for entry in usage([tmp_path / "rules.yaml"]).entries}

    assert used_by(tmp_path, metric) == ["panel.json", "rules.yaml"]
    found = [entry.name for entry in usage([tmp_path]).entries if any("panel" in by for by in entry.used_by)]
    assert found == [metric]
    assert [name for name, by in before.items() if any("rules.yaml" in each for each in by)] == [metric]


def test_what_is_no_use_of_a_metric(tmp_path: Path) -> None:
    """What a panel says to people, prose, comments, names that only begin alike, and the catalogue itself."""
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
def test_a_column_that_is_used(tmp_path: Path, name: str, text: str) -> None:
    """It stands where its view stands: in the same query, or in the code of the same page."""
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
def test_a_column_that_is_not_used(tmp_path: Path, name: str, text: str) -> None:
    """Its name in another query, in prose, in a comment, or in Python code."""
    directory = tmp_path / ".git" if name.startswith(".") else tmp_path
    directory.mkdir(exist_ok=True)
    (directory / name).write_text(text)

    assert used_by(tmp_path, "telemetry_analysis_spend.wasted_pico") == []


def test_our_own_views_count_in_any_case(tmp_path: Path) -> None:
    """What a view reads is used; what only our own code reads or fills is not."""
    found: dict[str, Any] = {entry.name: entry.used_by for entry in usage([tmp_path]).entries}

    assert "view telemetry_jobs" in found["telemetry_runs.backoff_us"]
    assert found["telemetry_fragments.schema_v"] == found["telemetry_runs.enqueued_at"] == ()
    assert found["analyses.cost_breakdown"] == ()


def test_the_report(tmp_path: Path) -> None:
    """A table of what is not used, with its meaning; the exit status is that of a report unless asked for."""
    (tmp_path / "rules.yml").write_text("expr: analysis_runs_total")
    plain = run(tmp_path)
    failed = run(tmp_path, "--fail")

    assert (plain.exit_code, failed.exit_code, plain.output) == (0, 1, failed.output)
    assert "metric  analysis.errors " in plain.output and "Errors recorded in runs." in plain.output
    assert "metric  analysis.runs " not in plain.output
    assert plain.output.splitlines()[-1].startswith(f"{len(plain.output.splitlines()) - 2} of ")


def test_the_report_as_json(tmp_path: Path) -> None:
    """One object: where it looked, and what it found; `--all` tells what uses what."""
    (tmp_path / "rules.yml").write_text("expr: analysis_runs_total")
    found = json.loads(run(tmp_path, "--json").output)
    everything = json.loads(run(tmp_path, "--json", "--all").output)

    assert {entry["kind"] for entry in found["entries"]} == {"metric", "column"}
    assert all(entry["used_by"] == [] and entry["meaning"] for entry in found["entries"])
    assert "view telemetry_jobs" in found["looked_at"]
    assert any(each.endswith("rules.yml") for each in found["looked_at"])
    (runs,) = [entry for entry in everything["entries"] if entry["name"] == "analysis.runs"]
    assert [Path(each).name for each in runs["used_by"]] == ["rules.yml"]


def test_a_directory_that_is_not_there(tmp_path: Path) -> None:
    """It is named."""
    found = run(tmp_path / "dashboards")

    assert found.exit_code == 2
    assert "dashboards' does not exist" in found.output


def test_files_that_are_no_text_and_no_json(tmp_path: Path) -> None:
    """They are looked at all the same, as far as that goes."""
    (tmp_path / "a.json").write_bytes(b'{"expr": "analysis_errors_total", \xff')
    (tmp_path / "b.yaml").write_bytes(b"\xff: not YAML, but analysis_errors_total")

    assert used_by(tmp_path, "analysis.errors") == ["a.json", "b.yaml"]


def test_this_repository_uses_what_its_documents_name() -> None:
    """Without arguments, the documents of this project count."""
    found = {entry.name: entry.used_by for entry in usage().entries}

    assert "docs/explanation/spool.md" in {Path(by).as_posix() for by in found["telemetry.spool.shed"]}
    assert not [by for sources in found.values() for by in sources if by.endswith("catalogue.md")]
