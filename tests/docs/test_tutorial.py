"""The tutorial, executed: its files are written, and its commands run and print what it shows."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "tutorial" / "first-rollup.md").read_text()
BLOCKS = re.findall(r"^```(python|console)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
SET_UP_ALREADY = ("make install", ". .venv/bin/activate")
"""The commands that set up the environment, in which this test runs already."""
MARK = "=== step"


@dataclass(frozen=True, slots=True)
class Step:
    """One command, and the lines that the page shows below it."""

    command: str
    shown: str


@pytest.fixture(scope="module")
def followed(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[Step, str]]:
    """Each step of the page with its output, all executed in one shell."""
    script, steps = ["set -eu"], list[Step]()
    for language, text in BLOCKS:
        if language == "python":
            name = text.partition("\n")[0].removeprefix("# ")
            script.append(f"cat > {name} <<'END_OF_FILE'\n{text}END_OF_FILE")
            continue
        for part in re.split(r"^\$ ", text, flags=re.MULTILINE)[1:]:
            command, _, shown = part.partition("\n")
            if command not in SET_UP_ALREADY:
                script.append(f"echo '{MARK}'\n{command}")
                steps.append(Step(command, shown))
    printed = run("\n".join(script), tmp_path_factory.mktemp("tutorial")).split(f"{MARK}\n")[1:]
    return list(zip(steps, printed, strict=True))


def run(script: str, folder: Path) -> str:
    """Return the output of a script, and end all processes that it started."""
    environment = {
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), "/usr/bin", "/bin"]),
        "HOME": str(folder),
        "LANG": "C.UTF-8",
        "PYTHONPATH": str(ROOT),
    }
    with (folder / "errors").open("w") as errors:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=folder,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
    try:
        printed, _ = shell.communicate(timeout=300)
    finally:
        with suppress(ProcessLookupError):
            os.killpg(shell.pid, signal.SIGKILL)
    assert shell.returncode == 0, printed + (folder / "errors").read_text()
    return printed


def test_each_command_prints_what_the_page_shows(followed: list[tuple[Step, str]]) -> None:
    """Only times, durations and the bars drawn from them may differ."""
    for step, printed in followed:
        if step.shown:
            assert words(printed) == words(step.shown), step.command


def words(text: str) -> list[list[str]]:
    """Return the words of each line, without times, durations and frames."""
    text = re.sub(r"\d{4}-\d\d-\d\d \d\d:\d\d|[\d.]+ m?s\b|(?<![$\d.])\d+\.\d+", "~", text)
    lines = (re.sub(r"[─╭╮╰╯│█▏▎▍▌▋▊▉]+", " ", line).split() for line in text.splitlines())
    return [line for line in lines if line]


def test_report_shows_retries_and_cost(followed: list[tuple[Step, str]]) -> None:
    """The report at the end shows attempts and refusals, which the client hides, and the cost."""
    (report,) = [step.shown for step, _ in followed if "telemetry report" in step.command]

    assert re.search(r"OpenAI calls 3\b", report)
    assert re.search(r"attempts 4\b", report)
    assert re.search(r"too fast 1\b", report)
    assert re.search(r"^total +1 +\$0\.0000\d+$", report, re.MULTILINE)


def test_telemetry_adds_few_lines() -> None:
    """The application with telemetry has less than ten lines more than the one without."""
    files: dict[str, list[str]] = {}
    for language, text in BLOCKS:
        if language == "python":
            files.setdefault(text.partition("\n")[0], []).append(text)
    changed = {name: versions for name, versions in files.items() if len(versions) == 2}
    added = {
        line.strip()
        for before, after in changed.values()
        for line in after.splitlines()
        if line.strip() not in {old.strip() for old in before.splitlines()}
    }

    assert set(changed) == {"# app.py", "# analysis.py"}
    assert len(added) < 10
    assert sorted(line for line in added if "telemetry" not in line) == [
        "document.score(score, out_of=100)",
        "run.link(analysis_id=analysis.id)",
    ]
