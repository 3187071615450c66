"""Severe findings are sent once a day each, and only what was received counts as sent."""

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
from tests import fresh
from tests.alertmanager import RunningAlertmanager
from tests.exporters.makers import SOME_HOSTS, Host
from tests.exporters.test_insights import Past
from tests.receivers import Mailbox, Webhook
from tests.waiting import until

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


def send(host: Host, *findings: Finding, **settings: Any) -> Outcome:
    return notify(Settings(database_url=host.url, **settings), findings)


def titles(hook: Webhook) -> list[str]:
    return [body["title"] for body in hook.bodies]


# Once a day


def test_only_severe_findings_are_sent(sqlite_host: Host, hook: Webhook) -> None:
    """A warning can wait until somebody reads the report."""
    assert send(sqlite_host, COST, VOLUME, notify=(f"json://{hook.place}",)) == Outcome(1, 0, ())
    assert hook.bodies == [
        hook.bodies[0] | {"title": "Cost is high", "message": "$9 on Tuesday.\nSee the report."}
    ]


def test_a_finding_is_sent_once_a_day(host: Host, hook: Webhook) -> None:
    """Outcome again it is known; another finding, or the same of another day, is not."""
    address = {"notify": (f"json://{hook.place}",)}
    assert send(host, COST, **address) == Outcome(1, 0, ())
    assert send(host, COST, ERRORS, **address) == Outcome(1, 1, ())
    assert send(host, replace(COST, day=DAY + timedelta(days=1)), **address) == Outcome(1, 0, ())
    assert titles(hook) == ["Cost is high", "Many jobs fail", "Cost is high"]


def test_a_finding_is_sent_to_every_channel(sqlite_host: Host, hook: Webhook) -> None:
    """A channel that is added later gets it as well."""
    first, second = f"json://{hook.place}/1", f"json://{hook.place}/2"
    send(sqlite_host, COST, notify=(first,))
    assert send(sqlite_host, COST, notify=(first, second)) == Outcome(1, 1, ())
    assert [path for path, _ in hook.requests] == ["/1", "/2"]


def test_one_of_several_processes_sends_a_finding(host: Host, hook: Webhook) -> None:
    """However many processes try at the same moment, it is sent once."""
    code = (
        "import sys, tests.exporters.test_notify as test\n"
        "sys.stdin.readline()\n"
        "print(test.send(test.Host(sys.argv[1]), test.COST, test.ERRORS, notify=(sys.argv[2],)).sent)"
    )
    running = [fresh.talk("-c", code, host.url, f"json://{hook.place}") for _ in range(4)]
    threads = [Thread(target=process.communicate, args=("go\n",)) for process in running]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert [process.returncode for process in running] == [0, 0, 0, 0]
    assert sorted(titles(hook)) == ["Cost is high", "Many jobs fail"]


def test_the_claim_of_a_dead_process_expires(host: Host, engine: Engine) -> None:
    """The claim of a living process holds, and a finished one never expires."""
    assert claims.claim(engine, DAY, "tell")
    assert not claims.claim(engine, DAY, "tell")
    host.execute(
        "UPDATE telemetry_daily_tasks SET claimed_at = :then",
        then=datetime.now(UTC).replace(tzinfo=None) - claims.LEASE - timedelta(seconds=5),
    )
    assert claims.claim(engine, DAY, "tell")
    claims.finish(engine, DAY, "tell")
    assert not claims.claim(engine, DAY, "tell", lease=timedelta(seconds=-5))


def test_old_claims_are_deleted(engine: Engine) -> None:
    """The table does not grow for ever."""
    for days in (0, 1, 91):
        claims.finish(engine, DAY + timedelta(days=days), "tell")
    with engine.begin() as connection:
        left = connection.exec_driver_sql("SELECT count(*) FROM telemetry_daily_tasks").scalar()
    assert left == 2


# Alertmanager


def test_an_alert_has_the_usual_labels_and_annotations(
    sqlite_host: Host, hook: Webhook, alertmanager: RunningAlertmanager
) -> None:
    """It is active until the check of the next day."""
    before = datetime.now(UTC)
    assert send(sqlite_host, COST, alertmanager_url=f"{alertmanager.url}/") == Outcome(1, 0, ())

    (alert,) = alertmanager.alerts()
    assert alert["labels"] == {
        "alertname": "AnalysisCostAnomaly",
        "severity": "critical",
        "service": "screener",
        "source": "insights",
    }
    assert alert["annotations"] == {
        "summary": "Cost is high",
        "description": "$9 on Tuesday. See the report.",
    }
    assert alert["status"]["state"] == "active"
    starts, ends = (datetime.fromisoformat(alert[name]) for name in ("startsAt", "endsAt"))
    assert abs(starts - before) < timedelta(minutes=1)
    assert ends - starts == ACTIVE
    until(lambda: [body["status"] for body in hook.bodies] == ["firing"])


def test_applications_that_share_an_alertmanager_have_distinct_alerts(
    sqlite_host: Host, alertmanager: RunningAlertmanager
) -> None:
    """The service is a label, as in the rules."""
    for service, day in (("shop", DAY), ("screener", DAY + timedelta(days=1))):
        finding = replace(COST, day=day)
        send(sqlite_host, finding, alertmanager_url=alertmanager.url, alert_job=service)
    assert {alert["labels"]["service"] for alert in alertmanager.alerts()} == {"shop", "screener"}


def test_an_alert_is_extended_and_resolved(hook: Webhook, alertmanager: RunningAlertmanager) -> None:
    """Sent again while active, it is the same alert; Alertmanager resolves it when its time is up."""
    Alertmanager(alertmanager.url, "screener", active=timedelta(seconds=4)).send(COST)
    (first,) = alertmanager.alerts()
    Alertmanager(alertmanager.url, "screener", active=timedelta(seconds=5)).send(COST)
    (second,) = alertmanager.alerts()
    assert (first["fingerprint"], first["startsAt"]) == (second["fingerprint"], second["startsAt"])
    assert first["endsAt"] < second["endsAt"]

    until(lambda: hook.bodies and hook.bodies[-1]["status"] == "resolved", 20)
    assert [body["status"] for body in hook.bodies] == ["firing", "resolved"]
    assert alertmanager.alerts() == []


def test_an_alertmanager_may_need_a_login_and_a_path(sqlite_host: Host, hook: Webhook) -> None:
    """User and password are sent, and the path is kept."""
    send(sqlite_host, COST, alertmanager_url=f"http://me:s%40cret@{hook.place}/alerting")
    assert hook.requests == [("/alerting/api/v2/alerts", "Basic bWU6c0BjcmV0")]


@pytest.mark.parametrize(("status", "reason"), [(500, "HTTP 500"), (401, "HTTP 401"), (302, "HTTP 302")])
def test_an_alert_that_was_refused_is_sent_the_next_time(
    host: Host, hook: Webhook, status: int, reason: str
) -> None:
    """A proxy's redirect to a login page is a refusal, too."""
    address = {"alertmanager_url": f"http://me:s3cret@{hook.place}"}
    hook.status = status
    (problem,) = send(host, COST, ERRORS, **address).problems
    assert f"TELEMETRY_ALERTMANAGER_URL: http://{hook.place} did not take" in problem and reason in problem
    assert "s3cret" not in problem and "\n" not in problem
    assert len(hook.requests) == 1

    hook.status = 200
    assert send(host, COST, ERRORS, **address) == Outcome(2, 0, ())


# Apprise


def test_a_finding_is_sent_by_mail(sqlite_host: Host) -> None:
    """Its address is written as Apprise documents it."""
    with Mailbox() as box:
        url = f"mailto://{box.place}?from=app@example.com&to=ops@example.com&mode=insecure"
        assert send(sqlite_host, COST, notify=(url,)) == Outcome(1, 0, ())
        assert send(sqlite_host, COST, notify=(url,)) == Outcome(0, 1, ())

    (mail,) = box.mails
    assert (mail["Subject"], mail["To"]) == ("Cost is high", "ops@example.com")
    assert mail.get_content().splitlines() == ["$9 on Tuesday.", "See the report."]


def test_a_channel_that_fails_does_not_stop_the_others(
    host: Host, hook: Webhook, caplog: pytest.LogCaptureFixture
) -> None:
    """When it works again, only that channel is sent the finding."""
    with Webhook() as broken:
        broken.status = 503
        urls = (f"json://user:s3cret@{broken.place}/t0ken?key=s3cret", f"json://{hook.place}")
        (problem,) = send(host, COST, notify=urls).problems
        assert problem.startswith("TELEMETRY_NOTIFY: address 1 (json://…) did not take the message")
        assert titles(hook) == ["Cost is high"]

        broken.status = 200
        assert send(host, COST, notify=urls) == Outcome(1, 1, ())
    assert "s3cret" not in problem and "t0ken" not in problem
    assert "apprise" not in {record.name for record in caplog.records if record.levelno >= logging.WARNING}
    assert "s3cret" not in json.dumps(host.rows("telemetry_daily_tasks"), default=str)


def test_an_unreachable_address_is_a_problem(sqlite_host: Host) -> None:
    """There is one line for an Alertmanager and one for a channel, and nothing counts as sent."""
    addresses = {"alertmanager_url": "http://127.0.0.1:1", "notify": ("json://127.0.0.1:1",)}
    problems = send(sqlite_host, COST, **addresses).problems
    assert [problem.split(":")[0] for problem in problems] == [
        "TELEMETRY_ALERTMANAGER_URL",
        "TELEMETRY_NOTIFY",
    ]
    assert "refused" in problems[0]
    assert sqlite_host.rows("telemetry_daily_tasks") == []


@pytest.mark.parametrize("url", ["nonsense://s3cret/s3cret", "json://", "mailto://s3cret"])
def test_an_address_that_apprise_refuses_is_a_problem(
    sqlite_host: Host, hook: Webhook, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """It is one even without findings, and other addresses are sent theirs."""
    assert send(sqlite_host, notify=(url,)).problems
    result = send(sqlite_host, COST, notify=(url, f"json://{hook.place}"))
    assert result.sent == 1
    (problem,) = result.problems
    assert "TELEMETRY_NOTIFY: address 1" in problem and "s3cret" not in problem + caplog.text


def test_a_missing_extra_is_named(sqlite_host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    """The message says which extra to install."""
    monkeypatch.setitem(sys.modules, "apprise", None)
    monkeypatch.delitem(sys.modules, "exporters.findings.apprise", raising=False)
    (problem,) = send(sqlite_host, COST, notify=("json://127.0.0.1:1",)).problems
    assert problem.startswith("TELEMETRY_NOTIFY needs analysis-telemetry[notify]")


def test_notifying_without_an_address_is_a_problem(sqlite_host: Host) -> None:
    """The message names the settings that take one."""
    (problem,) = send(sqlite_host).problems
    assert "TELEMETRY_ALERTMANAGER_URL or TELEMETRY_NOTIFY" in problem


# Settings


@pytest.mark.parametrize(
    "url",
    ["", "http://a", "https://me:s%2F@a.example:9093/below/", "http://[::1]:9093", "http://10.0.0.1:1/"],
)
def test_an_alertmanager_url_may_have_port_path_and_password(url: str) -> None:
    """The host may be a name or an address of IPv4 or IPv6."""
    assert Settings.load({"TELEMETRY_ALERTMANAGER_URL": url}).alertmanager_url == url


def test_addresses_are_split_at_their_schemes() -> None:
    """A comma may be part of an address."""
    settings = Settings.load({"TELEMETRY_NOTIFY": "mailto://a?to=b,c, slack://d/e json://f"})
    assert settings.notify == ("mailto://a?to=b,c", "slack://d/e", "json://f")
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
    """Error messages and representations show no secrets of an address."""
    with pytest.raises(SettingsError, match=name) as error:
        Settings.load({name: value})
    assert "s3cret" not in str(error.value)
    settings = Settings(alertmanager_url="http://s3cret@host", notify=("json://s3cret",))
    assert "s3cret" not in repr(settings)


# The commands


def flask(host: Host, folder: Path, *words: str, **settings: str) -> subprocess.CompletedProcess[str]:
    (folder / "host.py").write_text("import flask\napp = flask.Flask('host')\napp.secret_key = 's'\n")
    command = ("-m", "flask", "--app", "host", "telemetry", *words)
    return fresh.run(*command, cwd=folder, env={**os.environ, "TELEMETRY_DATABASE_URL": host.url, **settings})


def test_insights_notifies(sqlite_host: Host, hook: Webhook, tmp_path: Path) -> None:
    """It exits 1 where something is severe, sent or known, and 3 where it could not be sent."""
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
    assert json.loads(known.stdout)["day"] and "1 sent before" in known.stderr
    assert titles(hook) == ["Many jobs meet rate limits"]


def test_the_health_check_notifies(
    sqlite_host: Host, hook: Webhook, alertmanager: RunningAlertmanager, tmp_path: Path
) -> None:
    """It sends what was severe yesterday, and exits 0 once that is sent."""
    yesterday = datetime.now(UTC).replace(tzinfo=None, hour=12) - timedelta(days=1)
    Past(sqlite_host).add(3, yesterday, status="failed").add(6, yesterday, rate_limit_hits=1).add(
        6, yesterday, status="failed"
    ).findings()
    address = {"TELEMETRY_ALERTMANAGER_URL": alertmanager.url}

    first = flask(sqlite_host, tmp_path, "health-check", "--notify", **address)
    second = flask(sqlite_host, tmp_path, "health-check", "--notify", **address)
    nobody = flask(sqlite_host, tmp_path, "health-check", "--notify")

    assert (first.returncode, second.returncode, nobody.returncode) == (0, 0, 3), first.stderr
    assert first.stdout.endswith("2 notifications sent, 0 sent before.\n")
    assert second.stdout.endswith("0 notifications sent, 2 sent before.\n")
    names = {alert["labels"]["alertname"] for alert in alertmanager.alerts()}
    assert names == {"TelemetryFailedJobs", "AnalysisJobsRateLimited"}
    assert "set TELEMETRY_ALERTMANAGER_URL or TELEMETRY_NOTIFY" in nobody.stderr
