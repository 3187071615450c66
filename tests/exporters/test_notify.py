"""What is severe reaches somebody, once a finding and day, and nothing that did not is taken for sent."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
from sqlalchemy.engine import Engine

from exporters.findings.alertmanager import ACTIVE, Alertmanager
from exporters.findings.finding import Finding
from exporters.findings.notify import Outcome, notify
from exporters.sql.database import claims
from telemetry.settings import Settings, SettingsError
from tests.alertmanager import RunningAlertmanager
from tests.exporters.makers import SOME_HOSTS, Host, until
from tests.exporters.test_insights import Past
from tests.receivers import Mailbox, Webhook

HOSTS = SOME_HOSTS

DAY = date(2026, 11, 24)
COST = Finding("cost", "alert", "Cost is high", "$9 on Tuesday.", {"dollars": 9}, "See the report.", DAY)
ERRORS = replace(COST, name="errors", title="Many jobs fail")
VOLUME = replace(COST, name="volume", severity="warning")


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as hook:
        yield hook


@pytest.fixture
def alertmanager(hook: Webhook) -> Iterator[RunningAlertmanager]:
    with RunningAlertmanager(f"http://{hook.place}/alerts") as running:
        yield running


def tell(host: Host, *findings: Finding, **settings: Any) -> Outcome:
    return notify(Settings(database_url=host.url, **settings), findings)


def titles(hook: Webhook) -> list[str]:
    return [body["title"] for body in hook.bodies]


# Once a finding and day


def test_only_what_is_severe(sqlite_host: Host, hook: Webhook) -> None:
    """A warning can wait until somebody looks."""
    assert tell(sqlite_host, COST, VOLUME, notify=(f"json://{hook.place}",)) == Outcome(1, 0, ())
    assert hook.bodies == [
        hook.bodies[0] | {"title": "Cost is high", "message": "$9 on Tuesday.\nSee the report."}
    ]


def test_once_a_finding_and_day(host: Host, hook: Webhook) -> None:
    """Outcome again it is known; another finding, or the same of another day, is not."""
    told = {"notify": (f"json://{hook.place}",)}
    assert tell(host, COST, **told) == Outcome(1, 0, ())
    assert tell(host, COST, ERRORS, **told) == Outcome(1, 1, ())
    assert tell(host, replace(COST, day=DAY + timedelta(days=1)), **told) == Outcome(1, 0, ())
    assert titles(hook) == ["Cost is high", "Many jobs fail", "Cost is high"]


def test_each_channel_is_told(sqlite_host: Host, hook: Webhook) -> None:
    """One that was added later as well."""
    first, second = f"json://{hook.place}/1", f"json://{hook.place}/2"
    tell(sqlite_host, COST, notify=(first,))
    assert tell(sqlite_host, COST, notify=(first, second)) == Outcome(1, 1, ())
    assert [path for path, _ in hook.requests] == ["/1", "/2"]


def test_many_processes_at_once(host: Host, hook: Webhook) -> None:
    """However many look at the same moment, one of them tells it."""
    code = (
        "import sys, tests.exporters.test_notify as test\n"
        "sys.stdin.readline()\n"
        "print(test.tell(test.Host(sys.argv[1]), test.COST, test.ERRORS, notify=(sys.argv[2],)).sent)"
    )
    command = [sys.executable, "-c", code, host.url, f"json://{hook.place}"]
    running = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    threads = [Thread(target=process.communicate, args=("go\n",)) for process in running]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [process.returncode for process in running] == [0, 0, 0, 0]
    assert sorted(titles(hook)) == ["Cost is high", "Many jobs fail"]


def test_who_dies_while_telling(host: Host, engine: Engine) -> None:
    """The claim of a dead process runs out; that of a living one holds, and what is done stays done."""
    assert claims.claim(engine, DAY, "tell")
    assert not claims.claim(engine, DAY, "tell")
    host.execute(
        "UPDATE telemetry_daily_tasks SET claimed_at = :then",
        then=datetime.now(UTC).replace(tzinfo=None) - claims.LEASE - timedelta(seconds=5),
    )
    assert claims.claim(engine, DAY, "tell")
    claims.finish(engine, DAY, "tell")
    assert not claims.claim(engine, DAY, "tell", lease=timedelta(seconds=-5))


def test_what_was_done_long_ago_is_forgotten(engine: Engine) -> None:
    """The table does not grow for ever."""
    for days in (0, 1, 91):
        claims.finish(engine, DAY + timedelta(days=days), "tell")
    with engine.begin() as connection:
        left = connection.exec_driver_sql("SELECT count(*) FROM telemetry_daily_tasks").scalar()
    assert left == 2


# Alertmanager


def test_an_alert(sqlite_host: Host, hook: Webhook, alertmanager: RunningAlertmanager) -> None:
    """It has the usual labels and annotations, and lasts until the check of the next day."""
    before = datetime.now(UTC)
    assert tell(sqlite_host, COST, alertmanager_url=f"{alertmanager.url}/") == Outcome(1, 0, ())

    (alert,) = alertmanager.alerts()
    assert alert["labels"] == {"alertname": "TelemetryCost", "severity": "critical"}
    assert alert["annotations"] == {
        "summary": "Cost is high",
        "description": "$9 on Tuesday. See the report.",
    }
    assert alert["status"]["state"] == "active"
    starts, ends = (datetime.fromisoformat(alert[name]) for name in ("startsAt", "endsAt"))
    assert abs(starts - before) < timedelta(minutes=1)
    assert ends - starts == ACTIVE
    until(lambda: [body["status"] for body in hook.bodies] == ["firing"])


def test_applications_that_share_an_alertmanager(
    alertmanager: RunningAlertmanager, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Their alerts are different ones."""
    for service in ("shop", "screener"):
        monkeypatch.setenv("OTEL_SERVICE_NAME", service)
        Alertmanager(alertmanager.url).send(COST)
    assert {alert["labels"]["service"] for alert in alertmanager.alerts()} == {"shop", "screener"}


def test_an_alert_that_goes_on_and_ends(hook: Webhook, alertmanager: RunningAlertmanager) -> None:
    """Sent again while it is active it is the same alert; Alertmanager resolves it when its time is up."""
    Alertmanager(alertmanager.url, active=timedelta(seconds=4)).send(COST)
    (first,) = alertmanager.alerts()
    Alertmanager(alertmanager.url, active=timedelta(seconds=5)).send(COST)
    (second,) = alertmanager.alerts()
    assert (first["fingerprint"], first["startsAt"]) == (second["fingerprint"], second["startsAt"])
    assert first["endsAt"] < second["endsAt"]

    until(lambda: hook.bodies and hook.bodies[-1]["status"] == "resolved", 20)
    assert [body["status"] for body in hook.bodies] == ["firing", "resolved"]
    assert alertmanager.alerts() == []


def test_an_alertmanager_behind_a_login(sqlite_host: Host, hook: Webhook) -> None:
    """User and password go along, and below a path."""
    tell(sqlite_host, COST, alertmanager_url=f"http://me:s%40cret@{hook.place}/alerting")
    assert hook.requests == [("/alerting/api/v2/alerts", "Basic bWU6c0BjcmV0")]


@pytest.mark.parametrize(("status", "reason"), [(500, "HTTP 500"), (401, "HTTP 401"), (302, "HTTP 302")])
def test_an_alertmanager_that_refuses(host: Host, hook: Webhook, status: int, reason: str) -> None:
    """Also a page to log in that a proxy sends to. It is told the next time."""
    told = {"alertmanager_url": f"http://me:s3cret@{hook.place}"}
    hook.status = status
    (problem,) = tell(host, COST, ERRORS, **told).problems
    assert f"TELEMETRY_ALERTMANAGER_URL: http://{hook.place} did not take" in problem and reason in problem
    assert "s3cret" not in problem and "\n" not in problem
    assert len(hook.requests) == 1

    hook.status = 200
    assert tell(host, COST, ERRORS, **told) == Outcome(2, 0, ())


# Apprise


def test_mail(sqlite_host: Host) -> None:
    """A mail, by the library's own way to write its address."""
    with Mailbox() as box:
        url = f"mailto://{box.place}?from=app@example.com&to=ops@example.com&mode=insecure"
        assert tell(sqlite_host, COST, notify=(url,)) == Outcome(1, 0, ())
        assert tell(sqlite_host, COST, notify=(url,)) == Outcome(0, 1, ())

    (mail,) = box.mails
    assert (mail["Subject"], mail["To"]) == ("Cost is high", "ops@example.com")
    assert mail.get_content().splitlines() == ["$9 on Tuesday.", "See the report."]


def test_one_channel_that_fails(host: Host, hook: Webhook, caplog: pytest.LogCaptureFixture) -> None:
    """The others are told, and not again when it works at last."""
    with Webhook() as broken:
        broken.status = 503
        urls = (f"json://user:s3cret@{broken.place}/t0ken?key=s3cret", f"json://{hook.place}")
        (problem,) = tell(host, COST, notify=urls).problems
        assert problem.startswith("TELEMETRY_NOTIFY: address 1 (json://…) did not take the message")
        assert titles(hook) == ["Cost is high"]

        broken.status = 200
        assert tell(host, COST, notify=urls) == Outcome(1, 1, ())
    assert "s3cret" not in problem and "t0ken" not in problem
    assert "apprise" not in {record.name for record in caplog.records if record.levelno >= logging.WARNING}
    assert "s3cret" not in json.dumps(host.rows("telemetry_daily_tasks"), default=str)


def test_nobody_listens(sqlite_host: Host) -> None:
    """Neither an Alertmanager nor a channel: a line for each, and nothing is remembered."""
    told = {"alertmanager_url": "http://127.0.0.1:1", "notify": ("json://127.0.0.1:1",)}
    problems = tell(sqlite_host, COST, **told).problems
    assert [problem.split(":")[0] for problem in problems] == [
        "TELEMETRY_ALERTMANAGER_URL",
        "TELEMETRY_NOTIFY",
    ]
    assert "refused" in problems[0]
    assert sqlite_host.rows("telemetry_daily_tasks") == []


@pytest.mark.parametrize("url", ["nonsense://s3cret/s3cret", "json://", "mailto://s3cret"])
def test_an_address_that_apprise_does_not_take(
    sqlite_host: Host, hook: Webhook, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is a problem before there is something to tell, and stands in no other's way."""
    assert tell(sqlite_host, notify=(url,)).problems
    told = tell(sqlite_host, COST, notify=(url, f"json://{hook.place}"))
    assert told.sent == 1
    (problem,) = told.problems
    assert "TELEMETRY_NOTIFY: address 1" in problem and "s3cret" not in problem + caplog.text


def test_without_the_extra(sqlite_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message names it."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    monkeypatch.delitem(sys.modules, "exporters.findings.apprise", raising=False)
    (problem,) = tell(sqlite_host, COST, notify=("json://127.0.0.1:1",)).problems
    assert problem.startswith("TELEMETRY_NOTIFY needs analysis-telemetry[notify]")


def test_nobody_is_named(sqlite_host: Host) -> None:
    """Who wants to notify has to say whom."""
    (problem,) = tell(sqlite_host).problems
    assert "TELEMETRY_ALERTMANAGER_URL or TELEMETRY_NOTIFY" in problem


# Settings


@pytest.mark.parametrize(
    "url",
    ["", "http://a", "https://me:s%2F@a.example:9093/below/", "http://[::1]:9093", "http://10.0.0.1:1/"],
)
def test_addresses_of_an_alertmanager(url: str) -> None:
    """Host, port and path, IPv6 or not, with a password or without."""
    assert Settings.load({"TELEMETRY_ALERTMANAGER_URL": url}).alertmanager_url == url


def test_addresses_are_told_apart() -> None:
    """By the scheme with which each begins: a comma may be part of one."""
    found = Settings.load({"TELEMETRY_NOTIFY": "mailto://a?to=b,c, slack://d/e json://f"})
    assert found.notify == ("mailto://a?to=b,c", "slack://d/e", "json://f")
    assert Settings.load({"TELEMETRY_NOTIFY": ""}).notify == ()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("TELEMETRY_NOTIFY", "s3cret"),
        ("TELEMETRY_ALERTMANAGER_URL", "ftp://me:s3cret@host"),
        ("TELEMETRY_ALERTMANAGER_URL", "s3cret@host:9093"),
        ("TELEMETRY_ALERTMANAGER_URL", "http://me:s3cret/5@host:9093"),
        ("TELEMETRY_ALERTMANAGER_URL", "http://me:s3cret?@host"),
        ("TELEMETRY_ALERTMANAGER_URL", "http://me:s3cret"),
    ],
)
def test_a_wrong_address_is_not_repeated(name: str, value: str) -> None:
    """Secrets of an address stay out of messages."""
    with pytest.raises(SettingsError, match=name) as error:
        Settings.load({name: value})
    assert "s3cret" not in str(error.value)
    told = Settings(alertmanager_url="http://s3cret@host", notify=("json://s3cret",))
    assert "s3cret" not in repr(told)


# The commands


def flask(host: Host, folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    (folder / "host.py").write_text("import flask\napp = flask.Flask('host')\napp.secret_key = 's'\n")
    return subprocess.run(
        [sys.executable, "-m", "flask", "--app", "host", "telemetry", *words],
        env={**os.environ, "TELEMETRY_DATABASE_URL": host.url, **settings},
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )


def test_insights_tells(sqlite_host: Host, hook: Webhook, tmp_path: Path) -> None:
    """Exit 1 for what is severe, told or not; 3 where it could not be told."""
    now = datetime.now(UTC).replace(tzinfo=None)
    where = {"TELEMETRY_TIMEZONE": f"Etc/GMT{now.hour - 12:+d}"}  # where it is noon, far from the next day
    Past(sqlite_host).add(6, now, rate_limit_hits=2).findings()
    address = {"TELEMETRY_NOTIFY": f"json://{hook.place}/s3cret"}

    hook.status = 500
    failed = flask(sqlite_host, tmp_path, "insights", "--notify", **where, **address)
    hook.status = 200
    sent = flask(sqlite_host, tmp_path, "insights", "--notify", **where, **address)
    known = flask(sqlite_host, tmp_path, "insights", "--notify", "--json", **where, **address)

    assert (failed.returncode, sent.returncode, known.returncode) == (3, 1, 1)
    (line,) = failed.stderr.splitlines()
    assert line.startswith("Error: TELEMETRY_NOTIFY: address 1") and "s3cret" not in line
    assert sent.stdout.endswith("1 notification sent, 0 sent before.\n") and not sent.stderr
    assert json.loads(known.stdout)["day"] and "1 known" in known.stderr
    assert titles(hook) == ["Many jobs meet rate limits"]


def test_the_health_check_tells(
    sqlite_host: Host, hook: Webhook, alertmanager: RunningAlertmanager, tmp_path: Path
) -> None:
    """What was severe yesterday, of the day alone and against its weekday; exit 0 once it is told."""
    yesterday = datetime.now(UTC).replace(tzinfo=None, hour=12) - timedelta(days=1)
    Past(sqlite_host).add(3, yesterday, status="failed").add(6, yesterday, rate_limit_hits=1).add(
        6, yesterday, status="failed"
    ).findings()
    told = {"TELEMETRY_ALERTMANAGER_URL": alertmanager.url}

    first = flask(sqlite_host, tmp_path, "health-check", "--notify", **told)
    second = flask(sqlite_host, tmp_path, "health-check", "--notify", **told)
    nobody = flask(sqlite_host, tmp_path, "health-check", "--notify")

    assert (first.returncode, second.returncode, nobody.returncode) == (0, 0, 3), first.stderr
    assert first.stdout.endswith("2 notifications sent, 0 sent before.\n")
    assert second.stdout.endswith("0 notifications sent, 2 sent before.\n")
    names = {alert["labels"]["alertname"] for alert in alertmanager.alerts()}
    assert names == {"TelemetryFailedJobs", "TelemetryRateLimitedJobs"}
    assert "set TELEMETRY_ALERTMANAGER_URL or TELEMETRY_NOTIFY" in nobody.stderr
