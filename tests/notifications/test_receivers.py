"""The shipped receivers deliver: their secrets are read from files, and their texts have links."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.alertmanager import RunningAlertmanager
from tests.notifications.raised import raise_alerts
from tests.notifications.shipped import configuration, hurried
from tests.receivers import Mailbox, Webhook
from tests.tools import program
from tests.waiting import until

SECRETS = "/etc/alertmanager/secrets"


@pytest.fixture
def hook() -> Iterator[Webhook]:
    with Webhook() as hook:
        yield hook


def test_webhooks_and_slack(hook: Webhook, tmp_path: Path) -> None:
    """Each address is in a file; a message in Slack leads to runbook and dashboard."""
    for name in ("page_url", "slack_url", "watchdog_url"):
        (tmp_path / name).write_text(f"{hook.url}/{name}\n")
    files = ("page-webhook", "channel-slack", "platform-slack", "watchdog-webhook")
    text = hurried(configuration(*files), "1s").replace(SECRETS, str(tmp_path))
    with RunningAlertmanager(hook.url, configuration=text, program=program("alertmanager")) as alertmanager:
        names = ("Watchdog", "PostgresDown", "AnalysisStageSlow", "PrometheusRulesFailing")
        raise_alerts(alertmanager, *names)
        until(lambda: len(hook.bodies) == len(names), what="all are delivered")

    paths = sorted(path for path, _ in hook.requests)
    assert paths == ["/page_url", "/slack_url", "/slack_url", "/watchdog_url"]
    messages = {body["channel"]: body["attachments"][0] for body in hook.bodies if "channel" in body}
    slow = messages["#analysis-alerts"]
    assert slow["title"].startswith("AnalysisStageSlow: A stage takes much longer")
    assert "<https://docs.example.com/runbooks/AnalysisStageSlow.md|Runbook>" in slow["text"]
    assert "<https://grafana.example.com/d/analysis-performance|Dashboard>" in slow["text"]
    assert messages["#platform-alerts"]["title"].startswith("PrometheusRulesFailing: ")


def test_mails(hook: Webhook, tmp_path: Path) -> None:
    """They go to the addresses in the file. This mail server wants neither a password nor encryption."""
    (tmp_path / "smtp_password").write_text("secret\n")
    with Mailbox() as mailbox:
        text = hurried(configuration("page-email", "channel-email", "platform-slack", "watchdog-none"), "1s")
        text = text.replace(SECRETS, str(tmp_path)).replace("smtp.example.com:587", mailbox.place)
        text = text.replace("require_tls: true", "require_tls: false")
        with RunningAlertmanager(
            hook.url, configuration=text, program=program("alertmanager")
        ) as alertmanager:
            raise_alerts(alertmanager, "PostgresDown", "AnalysisStageSlow")
            until(lambda: len(mailbox.mails) == 2, what="both are delivered")

    assert {mail["To"] for mail in mailbox.mails} == {"oncall@example.com", "analysis@example.com"}
