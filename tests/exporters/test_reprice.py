"""Repricing values recorded calls at other prices; it keeps the old value and outlasts late snapshots."""

from __future__ import annotations

import json
import subprocess
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from exporters.sql.storage import runs as run_storage
from exporters.upkeep.reprice import MID_RUN, NO_PRICE, NOT_LINEAR, NOT_MODELLED, reprice
from exporters.upkeep.repricing_report import Report
from telemetry.pricing.prices import Tokens, prices
from tests import fresh
from tests.exporters.makers import KEY, SOME_HOSTS, START, Fragment, Host, call

HOSTS = SOME_HOSTS

DAY = datetime.fromtimestamp(START // 10**9, UTC).date()
"""The day on which the runs of these tests begin."""
TOMORROW = date.fromordinal(DAY.toordinal() + 1)
OLD = 210_000_000
"""What a call cost when it was recorded."""
NEW = 1000 * 10**6 + 100 * 2 * 10**6
"""What it costs with the prices of FILE."""

FILE = """\
version = "new"
[[price]]
model = "gpt-4o-mini"
input = 1
output = 2
[[price]]
model = "custom"
input = 1
output = 2
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A price file with new prices."""
    path = tmp_path / "prices.toml"
    path.write_text(FILE)
    return path


class Operator:
    """Delivers runs, and prices them again."""

    def __init__(self, host: Host, engine: Engine, file: Path) -> None:
        self.host, self.engine, self.file = host, engine, file

    def deliver(self, *fragments: Fragment) -> None:
        for fragment in fragments:
            run_storage.deliver(self.engine, fragment.close())

    def reprice(self, **options: Any) -> Report:
        return reprice(self.host.url, prices(self.file), **{"since": DAY, "apply": True, **options})

    @property
    def run(self) -> dict[str, Any]:
        return self.host.row("telemetry_runs")

    @property
    def rows(self) -> dict[str, tuple[int, int | None]]:
        """Recorded and repriced value, by model."""
        usage = self.host.rows("telemetry_stage_usage")
        return {row["model"]: (row["cost_pico"], row["repriced_pico"]) for row in usage if row["operation"]}


@pytest.fixture
def operator(host: Host, engine: Engine, file: Path) -> Operator:
    return Operator(host, engine, file)


def late(fragment: Fragment, *calls: Any) -> Fragment:
    """A fragment of the same run in another process, which is delivered later."""
    return Fragment(fragment.accumulator.facts.run_id, is_root=False, process_id="p2").calls(*calls)


def unpriced_call(**known: Any) -> Any:
    return call(pico=None, model="custom", **known)


# Values that are written


def test_new_values_are_stored_beside_the_recorded_ones(operator: Operator) -> None:
    """Stage rows and run keep the recorded value and have the new one; both add up."""
    operator.deliver(Fragment().calls(call(), call(), call("insights", pico=7, model="other")))
    operator.reprice()

    assert operator.rows == {"gpt-4o-mini": (2 * OLD, 2 * NEW), "other": (7, None)}
    assert (operator.run["cost_pico"], operator.run["repriced_pico"]) == (2 * OLD + 7, 2 * NEW + 7)


def test_cached_input_and_cache_writes_have_prices_of_their_own(operator: Operator) -> None:
    """The sums of a row distinguish input that is read from the cache, written to it, and neither."""
    tokens = Tokens(1000, 0, cached=300, cache_write=500)
    operator.deliver(Fragment().calls(*[call(model="gpt-6-sol", tokens=tokens, pico=1)] * 2))
    operator.reprice()

    assert operator.rows == {"gpt-6-sol": (2, 2 * (200 * 2_000_000 + 300 * 200_000 + 500 * 2_500_000))}


def test_calls_with_costs_beyond_tokens_are_not_repriced(operator: Operator) -> None:
    """They stay unpriced, and the report says why."""
    odd = unpriced_call(unmodelled=("audio_tokens",))
    operator.deliver(Fragment().calls(odd, unpriced_call(), call()))
    report = operator.reprice()

    assert operator.rows["custom"] == (0, None)
    assert not operator.run["cost_complete"]
    assert NOT_MODELLED in "\n".join(report.lines())


def test_a_dry_run_writes_nothing(operator: Operator) -> None:
    """Without `apply` the difference is reported, and the tables stay as they are."""
    operator.deliver(Fragment().calls(call(), call()))
    before = operator.run, operator.rows
    report = operator.reprice(apply=False)

    assert (operator.run, operator.rows) == before
    line = report.models["gpt-4o-mini"]
    assert (line.calls, line.old, line.new) == (2, 2 * OLD, 2 * NEW)
    assert list(report.lines()) == [
        "model        calls     old $     new $  difference $",
        "gpt-4o-mini      2  0.000420  0.002400     +0.001980",
        "total            2  0.000420  0.002400     +0.001980",
        "1 of 1 runs would change.",
        "Nothing was written; --apply writes.",
    ]


def test_repeating_changes_nothing(operator: Operator) -> None:
    """It makes no new version either, which would be projected again."""
    operator.deliver(Fragment().calls(call(), unpriced_call()))
    assert len(operator.reprice().changed) == 1
    before = operator.run

    assert operator.reprice().changed == []
    assert operator.run == before


def test_a_later_price_replaces_an_earlier_one(operator: Operator) -> None:
    """The report compares with the last value; the recorded one is still kept."""
    operator.deliver(Fragment().calls(call()))
    operator.reprice()
    operator.file.write_text(FILE.replace("input = 1\n", "input = 3\n"))
    report = operator.reprice()

    assert (report.models["gpt-4o-mini"].old, report.models["gpt-4o-mini"].new) == (NEW, NEW + 2 * 10**9)
    assert operator.rows == {"gpt-4o-mini": (OLD, NEW + 2 * 10**9)}
    assert operator.run["repriced_pico"] == NEW + 2 * 10**9


@pytest.mark.parametrize(
    ("options", "changes"),
    [
        ({"since": DAY}, True),
        ({"since": TOMORROW}, False),
        ({"since": date(2020, 1, 1), "until": DAY}, False),
        ({"since": date(2020, 1, 1), "until": TOMORROW}, True),
        ({"since": DAY, "model": "gpt-4O*"}, True),
        ({"since": DAY, "model": "gpt-5*"}, False),
    ],
)
def test_repricing_can_be_limited_by_date_and_model(
    operator: Operator, options: dict[str, Any], changes: bool
) -> None:
    """Runs must have begun in the period, and models must match the pattern."""
    operator.deliver(Fragment().calls(call()))
    operator.reprice(**options)

    assert (operator.run["repriced_pico"] is not None) is changes


def test_a_run_under_way_is_not_repriced(operator: Operator) -> None:
    """It is still changing, and can be repriced when it has ended."""
    run_storage.deliver(operator.engine, Fragment().calls(call()).snapshot())

    assert operator.reprice().runs == 0


def test_runs_are_repriced_in_batches(operator: Operator, monkeypatch: pytest.MonkeyPatch) -> None:
    """More runs than fit in a transaction are each repriced once."""
    monkeypatch.setattr("exporters.upkeep.reprice.BATCH", 2)
    operator.deliver(*(Fragment().calls(call()) for _ in range(5)))
    report = operator.reprice()

    assert (report.runs, len({run for run, _, _ in report.changed})) == (5, 5)
    assert {run["repriced_pico"] for run in operator.host.rows("telemetry_runs")} == {NEW}


# Calls without a price


def test_unpriced_calls_become_priced(operator: Operator) -> None:
    """When a price of the model is known, the run's cost becomes complete."""
    operator.deliver(Fragment().calls(call(), unpriced_call(), unpriced_call()))
    assert (operator.run["unpriced"], operator.run["cost_complete"]) == (2, False)
    operator.reprice()

    assert operator.rows["custom"] == (0, 2 * NEW)
    assert (operator.run["unpriced"], operator.run["cost_complete"]) == (0, True)
    assert operator.run["repriced_pico"] == 3 * NEW


def test_calls_without_usage_keep_the_cost_incomplete(operator: Operator) -> None:
    """No price can tell what they cost."""
    operator.deliver(Fragment().calls(unpriced_call(), call(tokens=None)))
    operator.reprice()

    assert (operator.run["unpriced"], operator.run["cost_complete"]) == (0, False)


def test_a_model_without_a_price_keeps_its_value(operator: Operator) -> None:
    """A known cost stays known, and an unknown one does not become 0."""
    operator.deliver(Fragment().calls(call(model="gone"), call(pico=None, model="unknown")))
    report = operator.reprice()

    assert operator.rows == {"gone": (OLD, None), "unknown": (0, None)}
    assert (operator.run["unpriced"], operator.run["cost_complete"]) == (1, False)
    assert report.kept == {("gone", NO_PRICE): 1, ("unknown", NO_PRICE): 1}


def test_sums_of_calls_with_tiered_prices_keep_their_value(operator: Operator) -> None:
    """Where long calls cost more, the sum of several does not say which were long; a single call does."""
    long = call(model="gpt-5.4", tokens=Tokens(200_000, 10))
    operator.deliver(Fragment().calls(long, long), Fragment().calls(long))
    report = operator.reprice()

    assert report.kept == {("gpt-5.4", NOT_LINEAR): 2}
    assert len(report.changed) == 1


def test_calls_across_a_change_of_price_keep_their_value(operator: Operator) -> None:
    """The row does not say which calls were made before the change."""
    operator.file.write_text(f'[[price]]\nmodel = "gpt-4o-mini"\ninput = 1\noutput = 1\nuntil = {TOMORROW}\n')
    night = Fragment().calls(call())
    night.now += 86_400 * 10**9
    operator.deliver(night)

    assert operator.reprice().kept == {("gpt-4o-mini", MID_RUN): 1}


# Late snapshots


def test_a_late_snapshot_does_not_undo_a_repricing(operator: Operator) -> None:
    """Its calls are added at their own price, to stage row and run alike."""
    fragment = Fragment().calls(call())
    operator.deliver(fragment)
    operator.reprice()
    operator.deliver(late(fragment, call(), call("insights", pico=7, model="other")))

    assert operator.rows == {"gpt-4o-mini": (2 * OLD, NEW + OLD), "other": (7, None)}
    assert (operator.run["cost_pico"], operator.run["repriced_pico"]) == (2 * OLD + 7, NEW + OLD + 7)


def test_late_unpriced_calls_count_as_unpriced(operator: Operator) -> None:
    """Those that were repriced before stay priced; repricing again prices the late ones, too."""
    fragment = Fragment().calls(unpriced_call())
    operator.deliver(fragment)
    operator.reprice()
    operator.deliver(late(fragment, unpriced_call(), call()))

    assert operator.rows["custom"] == (0, NEW)
    assert (operator.run["unpriced"], operator.run["cost_complete"]) == (1, False)
    operator.reprice(model="gpt*")
    assert (operator.run["unpriced"], operator.run["cost_complete"]) == (1, False)
    operator.reprice()
    assert operator.rows["custom"] == (0, 2 * NEW)
    assert (operator.run["unpriced"], operator.run["cost_complete"]) == (0, True)
    assert operator.run["repriced_pico"] == 3 * NEW


def test_a_repeated_snapshot_does_not_undo_a_repricing(operator: Operator) -> None:
    """Its figures are stored already."""
    fragment = Fragment().calls(call(), unpriced_call())
    closing = fragment.close()
    run_storage.deliver(operator.engine, closing)
    operator.reprice()
    before = operator.run
    run_storage.deliver(operator.engine, closing)

    assert {**operator.run, "seen_at": None} == {**before, "seen_at": None}


def test_repricing_while_snapshots_arrive(host: Host, operator: Operator) -> None:
    """In any order, every call has a value in the end, and the rows add up to the run."""
    fragment = Fragment().calls(call())
    operator.deliver(fragment)
    parts = [late(fragment, call(), unpriced_call()) for _ in range(20)]
    with ThreadPoolExecutor(2) as pool:
        delivered = [pool.submit(operator.deliver, part) for part in parts]
        while not all(part.done() for part in delivered):
            operator.reprice()
        for part in delivered:
            part.result()
    operator.reprice()

    assert operator.rows == {"gpt-4o-mini": (21 * OLD, 21 * NEW), "custom": (0, 20 * NEW)}
    assert (operator.run["repriced_pico"], operator.run["cost_pico"]) == (41 * NEW, 21 * OLD)
    assert (operator.run["unpriced"], operator.run["cost_complete"]) == (0, True)


# Rows of the host


def test_rows_of_the_host_show_the_new_value(host: Host, operator: Operator) -> None:
    """Repricing projects the analysis, its stages and its user's total."""
    host.add_user()
    host.add_analysis()
    operator.deliver(Fragment(analysis_id=1, user_id=1, candidates=2).calls(call(), unpriced_call()))
    report = operator.reprice(hmac_key=KEY.decode())
    analysis = host.row("analyses")

    assert report.is_shown
    assert Decimal(str(analysis["total_api_cost"])) == Decimal("0.0024")
    assert Decimal(str(analysis["cost_per_candidate"])) == Decimal("0.0012")
    assert json.loads(analysis["cost_breakdown"]) == {"ranking": "0.0024"}
    assert Decimal(str(host.row("users")["total_api_spend"])) == Decimal("0.0024")


# The command


def command(tmp_path: Path, url: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run `flask telemetry reprice` of an application in `tmp_path`."""
    (tmp_path / "host.py").write_text("import flask\napp = flask.Flask('host')\napp.secret_key = 'secret'\n")
    env = {"TELEMETRY_DATABASE_URL": url, "TELEMETRY_SPOOL_DIR": str(tmp_path / "spool")}
    command = ("-m", "flask", "--app", "host", "telemetry", "reprice", *options)
    return fresh.run(*command, cwd=tmp_path, env=env)


def test_the_command_reprices_only_on_request(host: Host, operator: Operator, tmp_path: Path) -> None:
    """It shows what would change, and changes it with --apply."""
    host.add_user()
    host.add_analysis()
    operator.deliver(Fragment(analysis_id=1, user_id=1, candidates=2).calls(call()))
    options = ("--since", DAY.isoformat(), "--prices-file", str(operator.file))

    shown = command(tmp_path, host.url, *options)
    assert (shown.returncode, shown.stderr) == (0, "")
    assert "gpt-4o-mini      1  0.000210  0.001200     +0.000990" in shown.stdout
    assert shown.stdout.endswith("1 of 1 runs would change.\nNothing was written; --apply writes.\n")
    assert operator.run["repriced_pico"] is None

    as_json = json.loads(command(tmp_path, host.url, *options, "--json").stdout)
    assert as_json == {
        "applied": False,
        "runs": 1,
        "changed": 1,
        "is_shown": False,
        "models": [
            {
                "model": "gpt-4o-mini",
                "calls": 1,
                "old_pico": OLD,
                "new_pico": NEW,
                "old_unpriced": 0,
                "new_unpriced": 0,
            }
        ],
        "kept": [],
    }

    applied = command(tmp_path, host.url, *options, "--apply")
    assert applied.stdout.endswith("1 of 1 runs changed.\n")
    assert operator.run["repriced_pico"] == NEW
    assert Decimal(str(host.row("analyses")["total_api_cost"])) == Decimal("0.0012")


def test_the_command_prints_errors_as_one_line(tmp_path: Path) -> None:
    """A broken price file and a database without tables exit 1, wrong options exit 2."""
    (tmp_path / "broken.toml").write_text("[[price]]\ninput = -1\n")
    url = f"sqlite:///{tmp_path}/empty.sqlite"
    broken = command(tmp_path, url, "--since", "2026-10-01", "--prices-file", "broken.toml")
    empty = command(tmp_path, url, "--since", "2026-10-01")

    swapped = command(tmp_path, url, "--since", "2026-10-02", "--until", "2026-10-01")

    assert (broken.returncode, empty.returncode, swapped.returncode) == (1, 1, 2)
    assert swapped.stderr.endswith(
        "Error: Invalid value for --until: must be later than --since, 2026-10-02\n"
    )
    nothing = command(tmp_path, url, "--until", "2026-10-01")
    assert (nothing.returncode, nothing.stderr.splitlines()[-1]) == (2, "Error: give --days or --since")
    assert broken.stderr == "Error: broken.toml, line 2: input must not be negative\n"
    way_out = "run flask telemetry db upgrade"
    assert empty.stderr == f"Error: the database cannot be used: no such table: telemetry_runs; {way_out}\n"


def test_the_old_value_of_unpriced_calls_is_unknown(operator: Operator) -> None:
    """It is not 0, and so the difference is unknown, too."""
    operator.deliver(Fragment().calls(unpriced_call()))
    lines = list(operator.reprice(apply=False).lines())

    assert lines[1].split()[2:] == ["unknown", "0.001200", "unknown"]
