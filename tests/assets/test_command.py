"""`flask telemetry assets` says what it does, and never overwrites silently what somebody has edited."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from exporters.assets.comparison import State, compare
from exporters.assets.directory import write
from tests.assets.conftest import ALL, BUDGET, COST, MONEY, OF_BUDGET, Command

SLACK = "prometheus/alertmanager/receivers/channel-slack.yml"


def test_everything_is_written_once(assets: Command) -> None:
    """The second time nothing is done, and nothing has been left behind."""
    status, said = assets()
    assert status == 0
    assert said.endswith(f"\n{len(ALL)} new in {assets.directory}.\n")
    assert assets.files() == {*ALL, "written.json"}
    assert {name: (assets.directory / name).read_text() for name in ALL} == ALL

    assert assets() == (0, f"{len(ALL)} unchanged in {assets.directory}.\n")


def test_it_says_what_a_changed_setting_changes(assets: Command) -> None:
    """In lines for people; --check says the same before."""
    assets()
    lines = "".join(f"changed  {name}\n" for name in OF_BUDGET)
    table = f"         file\n{lines}"
    summary = f"6 changed, {len(ALL) - 6} unchanged in {assets.directory}.\n"
    drift = f"Error: {assets.directory} is out of date: run flask telemetry assets {assets.directory}\n"

    assert assets("--check") == (0, f"{assets.directory} is up to date.\n")
    assert assets("--check", **BUDGET) == (1, table + drift)
    assert assets(**BUDGET) == (0, table + summary)
    assert assets("--check", **BUDGET)[0] == 0


def test_programs_get_json(assets: Command) -> None:
    """All files are in it, by what became of them."""
    assert assets.states()["new"] == sorted(ALL)
    shown = assets.states("--check", **BUDGET)

    assert (shown["directory"], shown["is_up_to_date"]) == (str(assets.directory), False)
    assert shown["changed"] == OF_BUDGET
    assert shown["unchanged"] == sorted(ALL.keys() - set(OF_BUDGET))
    assert all(shown[state] == [] for state in {*State} - {State.CHANGED, State.UNCHANGED})


def test_a_deleted_file_stays_deleted(assets: Command) -> None:
    """Also if there is a newer version of it; that is no drift, and it is said each time."""
    assets()
    (assets.directory / MONEY).unlink()

    shown = assets.states(**BUDGET)
    assert (shown["deleted"], shown["new"]) == ([MONEY], [])
    assert assets("--check", **BUDGET) == (
        0,
        f"         file\ndeleted  {MONEY}\n{assets.directory} is up to date.\n",
    )
    assert assets(**BUDGET)[1].endswith(f"{len(ALL) - 1} unchanged, 1 deleted in {assets.directory}.\n")

    assert assets.states("--overwrite", MONEY)["new"] == [MONEY]
    assert (assets.directory / MONEY).read_text() == ALL[MONEY]


def test_an_edited_file_is_kept_as_long_as_there_is_no_newer_one(assets: Command) -> None:
    """Others are written meanwhile; it is drift."""
    assets()
    (assets.directory / SLACK).write_text("# ours\n")

    shown = assets.states(**BUDGET)
    assert (shown["edited"], shown["changed"]) == ([SLACK], OF_BUDGET)
    assert (assets.directory / SLACK).read_text() == "# ours\n"
    status, said = assets("--check", **BUDGET)
    assert (status, f"edited  {SLACK}\n" in said) == (1, True)
    reason = (
        f"Error: files in {assets.directory} were edited: {SLACK}; take the edits back, or name them with"
    )
    assert said.endswith(f"{reason} --overwrite\n")

    assert assets.states("--overwrite", SLACK, **BUDGET)["overwritten"] == [SLACK]
    assert (assets.directory / SLACK).read_text() == ALL[SLACK]
    assert (assets.directory / f"{SLACK}.orig").read_text() == "# ours\n"
    assert assets("--check", **BUDGET)[0] == 0


def test_an_edited_file_with_a_newer_version_stops_everything(assets: Command) -> None:
    """One line names it, and says what to do; --overwrite does it, and keeps a copy."""
    assets()
    (assets.directory / MONEY).write_text("groups: []\n")
    before = (assets.directory / COST).read_bytes()

    status, said = assets(**BUDGET)
    assert status == 1
    assert said == (
        f"Error: nothing is written to {assets.directory}: edited, or written by others: {MONEY} "
        "(replace with --overwrite FILE, which keeps a copy)\n"
    )
    assert (assets.directory / MONEY).read_text() == "groups: []\n"
    assert (assets.directory / COST).read_bytes() == before
    assert assets.states("--check", **BUDGET)["conflicting"] == [MONEY]

    status, said = assets("--overwrite", str(assets.directory / MONEY), **BUDGET)
    assert (status, f"overwritten  {MONEY}, kept as {MONEY}.orig\n" in said) == (0, True)
    assert "2000" in (assets.directory / MONEY).read_text()
    assert (assets.directory / f"{MONEY}.orig").read_text() == "groups: []\n"


def test_only_the_named_files_are_overwritten(assets: Command) -> None:
    """By their path or a pattern; a copy never replaces an earlier one, and has the mode of the file."""
    assets()
    for content in ("# first\n", "# second\n"):
        (assets.directory / SLACK).write_text(content)
        (assets.directory / SLACK).chmod(0o600)
        (assets.directory / MONEY).write_text("groups: []\n")
        shown = assets.states("--overwrite", "prometheus/alertmanager/*")
        assert (shown["overwritten"], shown["edited"]) == ([SLACK], [MONEY])
    assert shown["copies"] == {SLACK: f"{SLACK}.orig2"}
    copies = [assets.directory / f"{SLACK}.orig", assets.directory / f"{SLACK}.orig2"]
    assert [copy.read_text() for copy in copies] == ["# first\n", "# second\n"]
    assert {copy.stat().st_mode & 0o777 for copy in copies} == {0o600}

    status, said = assets("--overwrite", MONEY, "--overwrite", "rules/money")
    reason = f"Error: --overwrite: no file of {assets.directory} is 'rules/money'"
    assert (status, said.splitlines()[-1]) == (2, reason)
    assert (assets.directory / MONEY).read_text() == "groups: []\n"


def test_files_of_others_are_left_alone(assets: Command) -> None:
    """One that has a name of ours stops the command before it writes; others need not even be text."""
    (assets.directory / "prometheus" / "rules").mkdir(parents=True)
    (assets.directory / MONEY).write_text("groups: []\n")
    (assets.directory / "prometheus" / "rules" / "own.yml").write_bytes(b"# caf\xe9\n")

    status, said = assets()
    assert (status, said.count("\n"), f" {MONEY} (" in said) == (1, 1, True)
    assert assets.files() == {MONEY, "prometheus/rules/own.yml"}

    (assets.directory / MONEY).unlink()
    assert assets()[0] == 0
    assert assets("--check")[0] == 0
    assert (assets.directory / "prometheus" / "rules" / "own.yml").read_bytes() == b"# caf\xe9\n"


def test_files_of_an_earlier_version_are_removed_unless_edited(assets: Command) -> None:
    """With the folders that are empty without them."""
    old = {"grafana/old/analysis-old.json": "{}\n", "prometheus/rules/old.yml": "groups: []\n"}
    write(compare(assets.directory, {**ALL, **old}))
    (assets.directory / "prometheus/rules/old.yml").write_text("groups: [] # ours\n")

    assert assets("--check")[0] == 1
    shown = assets.states()
    assert [shown["removed"], shown["kept"]] == [[name] for name in old]
    assert not (assets.directory / "grafana" / "old").exists()
    assert (assets.directory / "prometheus/rules/old.yml").read_text() == "groups: [] # ours\n"
    assert assets("--check")[0] == 0


def test_files_keep_their_mode(assets: Command) -> None:
    """So that Prometheus can go on reading them, whatever the umask."""
    assets()
    (assets.directory / MONEY).chmod(0o640)
    assets(**BUDGET)

    assert (assets.directory / MONEY).stat().st_mode & 0o777 == 0o640
    assert assets.files() == {*ALL, "written.json"}


def test_a_copy_of_the_directory_is_as_good(assets: Command, tmp_path: Path) -> None:
    """Such as a checkout: no time and no owner counts, and a link to a file of rules stays one."""
    assets()
    elsewhere = Command(tmp_path / "copy")
    shutil.copytree(assets.directory, elsewhere.directory)
    (tmp_path / "money.yml").write_text(ALL[MONEY])
    (elsewhere.directory / MONEY).unlink()
    (elsewhere.directory / MONEY).symlink_to(tmp_path / "money.yml")

    assert elsewhere("--check")[0] == 0
    assert elsewhere(**BUDGET)[0] == 0
    assert os.path.islink(elsewhere.directory / MONEY)
    assert "2000" in (tmp_path / "money.yml").read_text()


def test_checking_never_overwrites(assets: Command) -> None:
    """The two options exclude each other."""
    status, said = assets("--check", "--overwrite", "*")

    assert (status, said.splitlines()[-1]) == (2, "Error: --check and --overwrite exclude each other")


def test_a_setting_that_cannot_be_used_is_named(assets: Command) -> None:
    """Nothing is written then."""
    for name, value, reason in (
        ("TELEMETRY_GRAFANA_TRACES_TYPE", "zipkin", "must be jaeger or tempo"),
        ("TELEMETRY_GRAFANA_PROMETHEUS_UID", "a b", "must be a uid of at most 40 letters, digits and _ -"),
        ("TELEMETRY_APP_URL", "shop", "must be an address such as"),
        ("TELEMETRY_ALERTMANAGER_TARGETS", "http://am:9093", "must be hosts with ports such as"),
        ("TELEMETRY_COLLECTOR_TARGETS", "collector", "must be hosts with ports such as"),
        *(
            ("TELEMETRY_ALERT_JOB", name, "must be a name of")
            for name in ("", " a", 'a"b', "it's", "a\\", "{{a", "a\n")
        ),
        ("TELEMETRY_RUNBOOKS_URL", "https://wiki/{{page", "must be an address or a path, without"),
        ("TELEMETRY_RUNBOOKS_URL", "wiki\npages", "must be an address or a path, without"),
        ("TELEMETRY_GRAFANA_URL", "https://grafana/{{.Labels.job}}", "must be an address or a path, without"),
    ):
        status, said = assets(**{name: value})
        assert (status, said.startswith(f"Error: {name}={value!r} {reason}")) == (1, True), said
    assert not assets.directory.exists()
