"""The list of alerts agrees with the rules."""

from __future__ import annotations

import re

from docs.alerts import PAGE, ROOT, page
from tests.alert_rules.collected import ALERTS


def test_page_is_up_to_date() -> None:
    """`make docs` has written it."""
    assert PAGE.read_text() == page()


def test_alerts_named_in_pages_exist() -> None:
    """An alert that was renamed is gone from every page."""
    names = {alert.name for alert in ALERTS}
    for path in (ROOT / "docs").rglob("*.md"):
        named = re.findall(
            r"`((?:Analysis|Otelcol|Prometheus|Alertmanager|Postgres)[A-Z]\w+)`", path.read_text()
        )
        assert set(named) <= names, path.name
