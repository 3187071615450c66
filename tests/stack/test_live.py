"""What `make verify-live` asks Grafana: queries without a variable that its page would have to fill in."""

from __future__ import annotations

import json

import pytest

from grafana.parts.expansion import VARIABLE
from tests.grafana.dashboards import Target, targets
from tests.stack import files
from tests.stack.proof.grafana import filled


@pytest.mark.parametrize("target", targets(), ids=lambda target: target.name)
def test_queries_are_complete(target: Target) -> None:
    """Each names a data source by its uid, and only macros of the server are left in it."""
    query = filled(target.query)
    left = {found[1] or found[3] or found[4] for found in VARIABLE.finditer(json.dumps(query))}

    assert query["datasource"]["uid"] in {uid for uid, _ in files.dashboard_sources().values()}
    assert {name for name in left if not name.startswith("__")} == set()
