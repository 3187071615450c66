"""Where nothing records, instrumented code works as if it were not instrumented."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


NOTHING = """
    import asyncio
    import sys

    {prelude}
    import telemetry

    async def work():
        return 3

    with telemetry.run("analysis", user_id=1, subject=("draft", 1)) as run:
        with telemetry.stage("ranking"), telemetry.document("a", size=1) as document:
            document.score(1)
            document.describe(characters=3)
            document.fail("x")
            document.duplicate()
        assert telemetry.stage("ranking", max, 1, 2) == 2
        assert asyncio.run(telemetry.stage("ranking", work)) == 3
        telemetry.record_fallback(ValueError())
        telemetry.count("app_retries")
        telemetry.fail_current_run("x")
        assert telemetry.current_run() is None
        run.link(1)
        run.describe(candidates=1)
        assert run.run_id is None and run.carrier() == {{}}
    handle = telemetry.start_run("intake")
    handle.detach()
    with telemetry.resume({{"run_id": "a", "kind": "analysis"}}):
        pass
    try:
        with telemetry.run("analysis"), telemetry.stage("x"):
            raise KeyError("host error")
    except KeyError as error:
        assert error.args == ("host error",)
    print("nothing happened")
"""


@pytest.mark.parametrize(
    "prelude", ["", "sys.modules['opentelemetry.sdk'] = None"], ids=["not set up", "no SDK installed"]
)
def test_instrumented_code_works_without_a_recorder(prelude: str) -> None:
    """It works where telemetry is not set up, and where the SDK is not even installed."""
    code = textwrap.dedent(NOTHING).format(prelude=prelude)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=300
    )

    assert (done.returncode, done.stdout, done.stderr) == (0, "nothing happened\n", "")
